"""How much a caller may ask for: what each request counts, and the header fields that say what is left."""

from dataclasses import dataclass

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from notifier.auth.keys import Caller, Keyholder
from notifier.settings import ApiSettings
from notifier.throttle import rate
from notifier.throttle.rate import RateLimitedError, Rates

_STANDING = "standing"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of this instance, which the rows of a key and of its service override."""

    rates: Rates
    settings: ApiSettings

    def key_quota(self, caller: Keyholder) -> int:
        """How many notifications a minute the key may submit, and how many other requests it may make; 0: any."""
        return self.settings.rate_per_minute if caller.key_rate is None else caller.key_rate

    def service_quota(self, caller: Caller) -> int:
        """How many notifications a minute all keys of the service may submit together; 0: any."""
        return self.settings.service_rate_per_minute if caller.service_rate is None else caller.service_rate

    def submitting(self, request: Request, caller: Caller, count: int) -> None:
        """Count so many notifications. Raises `RateLimitedError`."""
        self._take(
            request,
            count,
            ("key", caller.key_id, self.key_quota(caller)),
            ("service", caller.service_id, self.service_quota(caller)),
        )

    def asking(self, request: Request, caller: Keyholder) -> None:
        """Count a request that submits nothing, apart from those that do. Raises `RateLimitedError`."""
        self._take(request, 1, ("requests", caller.key_id, self.key_quota(caller)))

    def _take(self, request: Request, count: int, *limits: rate.Limit) -> None:
        try:
            standing = self.rates.take(count, *limits)
        except RateLimitedError as error:
            request.scope["state"][_STANDING] = error.bucket_states
            raise
        request.scope["state"][_STANDING] = standing


class RateFields:
    """ASGI around the application: whatever it answers, refusals as well, says what is left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and (standing := state.get(_STANDING)):
                fields = [(name.lower().encode(), value.encode()) for name, value in rate.fields(standing)]
                message["headers"] = [*message.get("headers", ()), *fields]
            await send(message)

        await self._app(scope, receive, sending)
