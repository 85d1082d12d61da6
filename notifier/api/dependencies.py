"""What routes depend on: the parts of the service, the caller's key with its rate limits, and the audit of the request.

`notifier.runtime.wiring` puts the parts together.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor
from notifier.auth.authenticated_key import AuthenticatedKey, Caller, KeyScope, require_service
from notifier.auth.authenticator import Authenticator
from notifier.clock import Clock
from notifier.console_settings import ConsoleSettings
from notifier.db.engine import Database
from notifier.db.timed_change import open_timed_change
from notifier.email_address import RecipientPolicy
from notifier.health.probes import Probes
from notifier.jobs.job_control import JobActions
from notifier.lookup.batch_progress import BatchWatch
from notifier.lookup.content_preview import ContentPreviewer
from notifier.lookup.standby_reader import StandbyReader
from notifier.mail.mail_parts import Mailbox
from notifier.merge.merge_preview import MergePreviewer
from notifier.rendering.preview_pool import EditorRenderers
from notifier.retention.retention_policy import RetentionPolicy
from notifier.settings import ApiSettings
from notifier.sse import OpenStreams
from notifier.submission.batch_submitter import BatchSubmitter
from notifier.submission.notification_submitter import NotificationSubmitter
from notifier.telemetry.request_observer import get_request_id
from notifier.templating.assets.image_cache import InlineImageCache, PublicFileCache
from notifier.templating.publish_gate import PublishGate
from notifier.templating.publishing import Publisher
from notifier.templating.version_store import TemplateCache
from notifier.throttle import token_bucket
from notifier.throttle.token_bucket import RateLimitedError, RateLimiter
from notifier.webhooks.endpoint_secret import SecretBox

QUOTA_STATE = "standing"  # the name under which the state of a request has what is left of the rate limits


@dataclass(frozen=True, kw_only=True)
class RateLimits:
    """The rate limits of the instance. A key or a service can have limits of its own."""

    rates: RateLimiter
    settings: ApiSettings

    def get_key_quota(self, caller: AuthenticatedKey) -> int:
        """Get how many notifications, and how many other requests, the key may send a minute; 0: unlimited."""
        return self.settings.rate_per_minute if caller.key_rate is None else caller.key_rate

    def get_service_quota(self, caller: Caller) -> int:
        """Get how many notifications all keys of the service together may submit a minute; 0: unlimited."""
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
            request.scope["state"][QUOTA_STATE] = self.rates.take(count, *limits)
        except RateLimitedError as error:
            request.scope["state"][QUOTA_STATE] = error.bucket_states
            raise


@dataclass(frozen=True, kw_only=True)
class ApiDependencies:
    """Everything that a route may use."""

    database: Database
    standby: StandbyReader  # for what may be a few seconds old
    authenticator: Authenticator
    rate_limits: RateLimits
    submitter: NotificationSubmitter
    batch_submitter: BatchSubmitter
    previewer: ContentPreviewer
    images: InlineImageCache  # images of mails
    public_files: PublicFileCache  # images that are served without a key
    editors: EditorRenderers
    publisher: Publisher
    template_cache: TemplateCache  # templates for submits
    gate: PublishGate
    default_sender: Mailbox  # the instance's own From address
    recipient_policy: RecipientPolicy
    clock: Clock
    wake_sender: Callable[[], None]  # tells the sender of this process that something is due
    probes: Probes
    streams: OpenStreams
    batch_watch: BatchWatch
    job_actions: JobActions
    retention: RetentionPolicy
    merge_previewer: MergePreviewer
    console: ConsoleSettings
    insecure_hosts: tuple[str, ...] = ()  # hosts of webhook URLs that may use plain HTTP
    insecure_feed_hosts: tuple[str, ...] = ()  # hosts of feeds that may use plain HTTP
    secret_box: SecretBox = SecretBox()  # noqa: RUF009 - frozen; encrypts secrets of webhooks and feeds


def get_dependencies(request: Request) -> ApiDependencies:
    """Get the dependencies of the application."""
    dependencies: ApiDependencies = request.app.state.dependencies
    return dependencies


@asynccontextmanager
async def open_change_transaction(request: Request, *, more_seconds: float = 0.0) -> AsyncIterator[AsyncConnection]:
    """Open a transaction with a time limit, with `more_seconds` for a large change; after it, wake the sender here."""
    dependencies = get_dependencies(request)
    async with open_timed_change(dependencies.database, more_seconds=more_seconds) as connection:
        yield connection
    dependencies.wake_sender()


async def authenticate_service(request: Request, scope: KeyScope) -> Caller:
    """Authenticate a service whose key has the scope, and count the request."""
    caller = require_service(await authenticate_key(request, None))
    caller.require_scope(scope)
    return caller


async def authenticate_key(request: Request, scope: KeyScope | None) -> AuthenticatedKey:
    """Authenticate a service's or an admin key that has the scope (None: any), and count the request."""
    dependencies = get_dependencies(request)
    key = await dependencies.authenticator.authenticate_key(request.headers.get("authorization"))
    dependencies.rate_limits.count_request(request, key)
    if scope is not None:
        key.require_scope(scope)
    return key


async def authenticate_owner(request: Request, scope: KeyScope) -> AuthenticatedKey:
    """Authenticate a service whose key has the scope, or an admin key, and count the request."""
    key = await authenticate_key(request, None)
    key.require_scope(scope if isinstance(key, Caller) else KeyScope.ADMIN)
    return key


async def authenticate_manager(request: Request, action: str) -> AuthenticatedKey:
    """Authenticate an owner who changes schedules, jobs or feeds; `action` completes "only a live key"."""
    key = await authenticate_owner(request, KeyScope.SCHEDULES)
    key.require_live(action)
    return key


async def recognise_owner(request: Request, scope: KeyScope) -> None:
    """Check again that the key is valid and has the scope, without counting: for streams."""
    key = await get_dependencies(request).authenticator.authenticate_key(request.headers.get("authorization"))
    key.require_scope(scope if isinstance(key, Caller) else KeyScope.ADMIN)


async def recognise_key(request: Request) -> AuthenticatedKey:
    """Authenticate any key without counting the request, for routes that count notifications instead."""
    return await get_dependencies(request).authenticator.authenticate_key(request.headers.get("authorization"))


async def recognise_service(request: Request) -> Caller:
    """Authenticate a service without counting the request, for routes that count notifications instead."""
    return await get_dependencies(request).authenticator.authenticate_service(request.headers.get("authorization"))


class MissingAuditRecordError(RuntimeError):
    """A route neither wrote an audit record nor reported that it changed nothing."""


class RequestAudit:
    """The audit of one request: routes that change something depend on it.

    If such a route answers and neither wrote a record nor reported "no change", the answer is 500.
    tests/guards/test_audited.py finds routes that do not depend on it.
    """

    def __init__(self, request_id: str, clock: Clock) -> None:
        self._request_id = request_id
        self._clock = clock
        self._actors: list[Actor] = []
        self._changed_nothing = False

    def get_actor(self, key: AuthenticatedKey) -> Actor:
        """Get the actor for an operation, which writes the audit record."""
        actor = Actor(name=key.actor_name, at=self._clock.now(), request_id=self._request_id)
        self._actors.append(actor)
        return actor

    def record_no_change(self) -> None:
        """Report that the route changes nothing, such as a preview."""
        self._changed_nothing = True

    @property
    def has_answered(self) -> bool:
        """Whether a record was written, or "no change" was reported."""
        return self._changed_nothing or any(actor.has_answered for actor in self._actors)


async def get_request_audit(request: Request) -> AsyncIterator[RequestAudit]:
    """Yield the audit of a request. Raises `MissingAuditRecordError` if the route does not report to it."""
    audit = RequestAudit(get_request_id(request), get_dependencies(request).clock)
    yield audit
    if not audit.has_answered:
        raise MissingAuditRecordError(f"{request.method} {request.scope['route'].path}")


# With this scope it is checked before the answer is sent.
AuditDependency = Annotated[RequestAudit, Depends(get_request_audit, scope="function")]
