"""The parts of the API and of the console, which are the same objects, and the two as one application."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from notifier.api.dependencies import ApiDependencies, RateLimits
from notifier.auth.authenticator import Authenticator, KeyUsageWriter
from notifier.auth.oidc_sign_in import OidcSignIn
from notifier.auth.password_hasher import PasswordHasher
from notifier.auth.staff_session import SessionTimes
from notifier.auth.staff_sign_in import StaffAuthenticator
from notifier.console.app import CONSOLE_PATH
from notifier.console.context import ConsoleDependencies
from notifier.console.reading import ReadSlots
from notifier.console_settings import ConsoleSettings
from notifier.db.shared_commit import SharedCommit
from notifier.email_address import RecipientPolicy, get_default_sender
from notifier.errors import ConfigurationError
from notifier.health.probes import Probes
from notifier.lookup.batch_progress import BatchWatch
from notifier.lookup.content_preview import ContentPreviewer
from notifier.lookup.mail_titles import MailTitles
from notifier.mail.mail_parts import Mailbox
from notifier.merge.merge_preview import MergePreviewer
from notifier.merge.row_validation import RowValidator
from notifier.rendering.preview_pool import EditorRenderers, PreviewPool
from notifier.retention.retention_policy import RetentionPolicy
from notifier.runtime.job_actions import build_job_actions
from notifier.runtime.process_parts import ProcessParts
from notifier.settings import Settings
from notifier.sse import OpenStreams
from notifier.submission.batch_submitter import BatchSubmitter
from notifier.submission.new_notification import ValidationRules
from notifier.submission.notification_submitter import NotificationSubmitter
from notifier.submission.notification_writer import WRITER
from notifier.templating.assets.image_cache import InlineImageCache, PublicFileCache
from notifier.templating.publish_gate import PublishGate
from notifier.templating.publishing import Publisher
from notifier.templating.version_store import TemplateCache, TemplateUsage
from notifier.throttle.queue_forecast import QueueForecast
from notifier.throttle.token_bucket import RateLimiter
from notifier.webhooks.endpoint_secret import SecretBox


def build_api_dependencies(
    parts: ProcessParts, probes: Probes, *, preview_niceness: int | None = None
) -> ApiDependencies:
    """Build what the routes of the API use. `preview_niceness` as of `PreviewPool`."""
    policy = RecipientPolicy.from_settings(parts.settings.recipients, parts.settings.smtp)
    images = InlineImageCache(parts.database, parts.settings.public_url)
    pool = PreviewPool(images.load_base64, images.public_url, nice=preview_niceness)
    editors = EditorRenderers(pool, parts.clock)
    own = get_default_sender(parts.settings)
    gate = PublishGate(parts.database.read, pool, parts.clock, own.address)
    usage, uses = KeyUsageWriter(parts.database, parts.clock), TemplateUsage(parts.database, parts.clock)
    forecast = QueueForecast(parts.database, parts.clock, parts.throughput)
    for close in (pool.aclose, usage.close, uses.close, forecast.close):
        parts.exit_stack.push_async_callback(close)
    parts.announcer.publish_hint = parts.exit_stack.enter_context(_open_hint_publisher(parts.settings))
    intake = SharedCommit(parts.database, WRITER, on_commit=parts.announcer)
    template_cache = TemplateCache(parts.database, parts.clock, uses)
    rules = ValidationRules.from_settings(parts.settings.api, own, policy)
    submitter = NotificationSubmitter(
        parts.database,
        intake.submit,
        templates=template_cache,
        rules=rules,
        forecast=forecast,
        clock=parts.clock,
    )
    return ApiDependencies(
        database=parts.database,
        standby=parts.standby,
        authenticator=Authenticator(parts.database, parts.clock, usage),
        rate_limits=RateLimits(rates=RateLimiter(parts.clock), settings=parts.settings.api),
        submitter=submitter,
        batch_submitter=BatchSubmitter(parts.database, submitter, parts.clock, intake.submit_all),
        previewer=ContentPreviewer(parts.database, parts.database.read, editors, policy),
        images=images,
        public_files=PublicFileCache(parts.database),
        editors=editors,
        publisher=Publisher(parts.database.read, pool, gate),
        template_cache=template_cache,
        gate=gate,
        default_sender=Mailbox(own.address, own.name),
        recipient_policy=policy,
        clock=parts.clock,
        wake_sender=parts.announcer,
        probes=probes,
        streams=OpenStreams(),
        batch_watch=BatchWatch(parts.database, parts.clock),
        job_actions=build_job_actions(parts),
        retention=RetentionPolicy.from_settings(parts.settings.retention, parts.settings.api),
        merge_previewer=MergePreviewer(parts.database, RowValidator(rules, template_cache), template_cache),
        console=parts.settings.console,
        insecure_hosts=parts.settings.webhooks.insecure_hosts,
        insecure_feed_hosts=parts.settings.feeds.insecure_hosts,
        secret_box=SecretBox.from_setting(parts.settings.secret_key),
    )


def build_console_dependencies(api: ApiDependencies, settings: Settings) -> ConsoleDependencies:
    """Build what the pages of the console use, from the parts of the API."""
    authenticator = StaffAuthenticator(
        database=api.database,
        hasher=PasswordHasher(),
        clock=api.clock,
        times=SessionTimes.from_settings(settings.console),
    )
    slots = ReadSlots(api.database, api.standby)
    gate = PublishGate(slots.open, api.editors.pool, api.clock, api.default_sender.address)
    return ConsoleDependencies(
        database=api.database,
        clock=api.clock,
        authenticator=authenticator,
        oidc=_build_oidc(authenticator, settings.console),
        editors=api.editors,
        gate=gate,
        publisher=Publisher(slots.open, api.editors.pool, gate),
        previewer=ContentPreviewer(api.database, slots.open, api.editors, api.recipient_policy),
        images=api.images,
        public_files=api.public_files,
        submitter=api.submitter,
        template_cache=api.template_cache,
        default_sender=api.default_sender,
        recipient_policy=api.recipient_policy,
        wake_sender=api.wake_sender,
        retention=api.retention,
        read_slots=slots,
        mail_titles=MailTitles(),
        trusted_proxies=settings.console.trusted_proxies,
        url=settings.console.url,
    )


def _build_oidc(authenticator: StaffAuthenticator, settings: ConsoleSettings) -> OidcSignIn | None:
    """Build the sign-in by OpenID if the settings name a provider. Raises `ConfigurationError` without the extra."""
    if settings.oidc_issuer is None:
        return None
    try:
        module = importlib.import_module("notifier.auth.oidc_provider")
    except ModuleNotFoundError as error:
        reason = f"NOTIFIER_CONSOLE__OIDC_ISSUER needs {error.name}: pip install 'notifier-outbox[oidc]'"
        raise ConfigurationError(reason) from error
    provider = module.OidcProvider(settings, authenticator.clock)
    return OidcSignIn(provider=provider, authenticator=authenticator, provider_name=settings.oidc_name)


@contextmanager
def _open_hint_publisher(settings: Settings) -> Iterator[Callable[[], None] | None]:
    """Publish hints for Celery workers until the block ends, if the settings name a broker.

    Raises `ConfigurationError` without the library, or for a broker that Celery does not know.
    """
    if settings.celery.broker_url is None or settings.uses_sqlite:  # on SQLite there is no other process
        yield None
        return
    try:
        module = importlib.import_module("notifier.runtime.hint_publisher")
        publisher = module.HintPublisher(settings.celery.broker_url.get_secret_value().strip())
    except ModuleNotFoundError as error:
        reason = f"NOTIFIER_CELERY__BROKER_URL needs {error.name}: pip install 'notifier-outbox[server,celery]'"
        raise ConfigurationError(reason) from error
    try:
        yield publisher.request_hint
    finally:
        publisher.close()


class Site:
    """The ASGI application of a process: the console, if it is enabled, under `/console`; all else by the API."""

    def __init__(self, api: FastAPI, console: Starlette | None) -> None:
        self.state = api.state
        self.api, self.console = api, console

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        path = scope.get("path", "")
        is_console = path == CONSOLE_PATH or path.startswith(f"{CONSOLE_PATH}/")
        await (self.console if is_console and self.console is not None else self.api)(scope, receive, send)
