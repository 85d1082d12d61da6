"""Rate limits: what each request counts, and the header fields that say what is left."""

from dataclasses import dataclass

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from notifier.auth.authenticated_key import AuthenticatedKey, Caller
from notifier.settings import ApiSettings
from notifier.throttle import token_bucket
from notifier.throttle.token_bucket import RateLimitedError, RateLimiter

_QUOTA_STATE = "standing"


@dataclass(frozen=True, kw_only=True)
class RateLimits:
    """The rate limits of the instance; a key or its service can have limits of its own."""

    rates: RateLimiter
    settings: ApiSettings

    def get_key_quota(self, caller: AuthenticatedKey) -> int:
        """Get the notifications, and the other requests, that the key may send a minute; 0: unlimited."""
        return self.settings.rate_per_minute if caller.key_rate is None else caller.key_rate

    def get_service_quota(self, caller: Caller) -> int:
        """Get the notifications that all keys of the service may submit a minute together; 0: unlimited."""
        return self.settings.service_rate_per_minute if caller.service_rate is None else caller.service_rate

    def count_notifications(self, request: Request, caller: Caller, count: int) -> None:
        """Count notifications. Raises `RateLimitedError`."""
        self._take(
            request,
            count,
            ("key", caller.key_id, self.get_key_quota(caller)),
            ("service", caller.service_id, self.get_service_quota(caller)),
        )

    def count_request(self, request: Request, caller: AuthenticatedKey) -> None:
        """Count a request that submits no notifications. Raises `RateLimitedError`."""
        self._take(request, 1, ("requests", caller.key_id, self.get_key_quota(caller)))

    def _take(self, request: Request, count: int, *limits: token_bucket.RateQuota) -> None:
        try:
            standing = self.rates.take(count, *limits)
        except RateLimitedError as error:
            request.scope["state"][_QUOTA_STATE] = error.bucket_states
            raise
        request.scope["state"][_QUOTA_STATE] = standing


class RateLimitHeaders:
    """ASGI middleware that adds the rate-limit fields to every answer, also to refusals."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and (standing := state.get(_QUOTA_STATE)):
                fields = [
                    (name.lower().encode(), value.encode())
                    for name, value in token_bucket.build_rate_limit_fields(standing)
                ]
                message["headers"] = [*message.get("headers", ()), *fields]
            await send(message)

        await self._app(scope, receive, sending)
