"""The composition root: settings in, running parts out. Nothing else knows how the parts fit together."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

from fastapi import FastAPI

from notifier.api.app import create_app
from notifier.api.dependencies import ApiDependencies
from notifier.api.errors import problem_responses
from notifier.api.rate_limits import RateLimits
from notifier.auth.authenticated_key import Authenticator
from notifier.auth.key_usage import KeyUsageWriter
from notifier.clock import Clock
from notifier.db import data_directory
from notifier.db.engine import Database
from notifier.db.shared_commit import SharedCommit
from notifier.delivery.email_handler import EmailHandler
from notifier.delivery.mail_renderer import MailRenderer
from notifier.delivery.relay_circuits import RelayListener
from notifier.errors import ConfigurationError
from notifier.head_request import HeadAsGet
from notifier.health import checks, routes
from notifier.health.checks import CheckResult
from notifier.health.probes import Probes
from notifier.http_server import PortBusyError, ServerLimits, find_server_limits, open_listener, serve_app
from notifier.ids import generate_id
from notifier.lookup.batch_watch import BatchWatch
from notifier.lookup.content_preview import ContentPreviewer
from notifier.outbox.heartbeat import Heartbeat, SenderIdentity
from notifier.outbox.journal import Journal
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.wakeup import listen_for_wakeups
from notifier.outbox.worker import Worker
from notifier.recipient_policy import RecipientPolicy
from notifier.rendering.editor_renderers import EditorRenderers
from notifier.rendering.pool import RenderingPool
from notifier.rendering.preview_pool import PreviewPool
from notifier.rendering.protocol import Mailbox
from notifier.runtime.process_parts import ProcessParts, get_default_sender, open_process_parts
from notifier.runtime.side_work import open_side_work
from notifier.smtp.transport import SmtpTransport
from notifier.sse import OpenStreams
from notifier.submission.batch_submitter import BatchSubmitter
from notifier.submission.notification_submitter import NotificationSubmitter
from notifier.submission.notification_writer import WRITER
from notifier.submission.validation_rules import ValidationRules
from notifier.templating.assets.inline_images import InlineImageCache
from notifier.templating.assets.public_files import PublicFileCache
from notifier.templating.gate.publish_gate import PublishGate
from notifier.templating.publishing import Publisher
from notifier.templating.template_usage import TemplateUsage
from notifier.templating.version_store import TemplateCache
from notifier.throttle.queue_forecast import QueueForecast
from notifier.throttle.rate_limit import RateLimiter
from notifier.throttle.relay_state import RelayReport
from notifier.webhooks.secret_box import SecretBox

RENDER_NICE = 5  # of the children that render: what they do is never as urgent as a reply

__all__ = [
    "PortBusyError",
    "ProcessParts",
    "RunningSender",
    "build_api",
    "build_probe_app",
    "build_sender_app",
    "open_listener",
    "open_process_parts",
    "run_sender",
    "serve_http",
]


def build_api(parts: ProcessParts) -> FastAPI:
    """The API over these parts."""
    policy = RecipientPolicy.from_settings(parts.settings.recipients, parts.settings.smtp)
    images = InlineImageCache(parts.database, parts.settings.public_url)
    pool = PreviewPool(images)
    editors = EditorRenderers(pool, parts.clock)
    own = get_default_sender(parts.settings)
    gate = PublishGate(parts.database, pool, parts.clock, own.address)
    usage, uses = KeyUsageWriter(parts.database, parts.clock), TemplateUsage(parts.database, parts.clock)
    forecast = QueueForecast(parts.database, parts.clock, parts.throughput)
    for close in (pool.aclose, usage.close, uses.close, forecast.close):
        parts.exit_stack.push_async_callback(close)
    intake = SharedCommit(parts.database, WRITER, on_commit=parts.announcer)
    shelf = TemplateCache(parts.database, parts.clock, uses)
    submitter = NotificationSubmitter(
        parts.database,
        intake.submit,
        shelf=shelf,
        terms=ValidationRules.from_settings(parts.settings.api, own, policy),
        forecast=forecast,
        clock=parts.clock,
    )
    doors = ApiDependencies(
        database=parts.database,
        authenticator=Authenticator(parts.database, parts.clock, usage),
        rate_limits=RateLimits(rates=RateLimiter(parts.clock), settings=parts.settings.api),
        submitter=submitter,
        batch_submitter=BatchSubmitter(parts.database, submitter, parts.clock, intake.submit_all),
        previewer=ContentPreviewer(parts.database, editors, policy),
        images=images,
        public_files=PublicFileCache(parts.database),
        editors=editors,
        publisher=Publisher(parts.database, pool, gate),
        template_cache=shelf,
        gate=gate,
        default_sender=Mailbox(own.address, own.name),
        recipient_policy=policy,
        clock=parts.clock,
        wake_sender=parts.announcer,
        probes=_probes(
            parts, partial(checks.check_database, parts.database), has_metrics=not parts.settings.api.metrics_port
        ),
        streams=OpenStreams(),
        batch_watch=BatchWatch(parts.database, parts.clock),
        insecure_hosts=parts.settings.webhooks.insecure_hosts,
        secret_box=SecretBox.from_setting(parts.settings.secret_key),
    )
    return create_app(doors)


@dataclass(frozen=True, kw_only=True)
class RunningSender:
    """A running sender."""

    worker: Worker
    deliverer: EmailHandler
    identity: SenderIdentity
    side_workers: Sequence[Worker]  # of webhooks and images, with slots of their own

    async def drain(self) -> None:
        """Return once nothing is due: no mail, no webhook about one, and no image."""
        await self.worker.drain()
        for one in self.side_workers:
            await one.drain()

    async def readiness(self, database: Database) -> list[CheckResult]:
        """The database answers, the journal can be written, and the relay takes mail."""
        circuits = self.deliverer.circuits
        is_open = circuits.relay.is_open
        relay = CheckResult(name="relay", ok=not is_open, detail=circuits.public_reason if is_open else "takes mail")
        journal = self.identity.journal
        return [
            *await checks.check_database(database),
            checks.check_journal(journal.folder, has_room=journal.is_writable),
            relay,
        ]


@contextlib.contextmanager
def _holder(parts: ProcessParts, journals: Path) -> Iterator[SenderIdentity]:
    """This life of the process, as others see it. Raises `ConfigurationError` if it cannot keep a journal."""
    boot_id, settings = generate_id(), parts.settings
    try:
        journal = Journal(journals, boot_id)
    except OSError as error:
        reason = f"the journal in {journals} cannot be written: {data_directory.describe_os_error(error)}"
        raise ConfigurationError(f"{reason}; {data_directory.DIRECTORY_ADVICE}") from error
    life = None
    if not settings.uses_sqlite:
        life = Heartbeat(
            parts.database, boot_id, parts.clock, dead_after=settings.sender.dead_after, throughput=parts.throughput
        )
    try:
        yield SenderIdentity(boot_id=boot_id, journal=journal, heartbeat=life, throughput=parts.throughput)
    finally:
        parts.throughput.reset()
        journal.close()


@asynccontextmanager
async def run_sender(parts: ProcessParts, *, pool: type[RenderingPool] = RenderingPool) -> AsyncIterator[RunningSender]:
    """Claim and deliver until the block ends; then finish what is in flight within the grace, give the rest back."""
    settings = parts.settings
    transport = SmtpTransport(settings.smtp)
    journals = settings.data_dir / "journal"
    images = InlineImageCache(parts.database, settings.public_url)
    policy = RecipientPolicy.from_settings(settings.recipients, settings.smtp)
    with _holder(parts, journals) as holder, open_side_work(parts) as side:
        async with (
            pool(children=settings.sender.render_children, nice=RENDER_NICE, images=images) as rendering,
            aclosing(PreviewPool(images)) as apart,
        ):
            report = RelayReport(parts.database, holder.boot_id, transport.relay, parts.clock)
            deliverer = EmailHandler(
                parts.database,
                MailRenderer(parts.database, rendering, apart, policy, parts.clock),
                transport,
                policy=policy,
                settings=settings.sender,
                clock=parts.clock,
            )
            deliverer.circuits.listener, transport.limit.on_change = (
                _telling(parts, report),
                report.report_connection_limit,
            )
            rescuer = Rescuer(
                parts.database,
                [deliverer, *(one.handler for one in side)],
                holder=holder,
                journals=journals,
                clock=parts.clock,
                on_rescue=parts.wakeup,
            )
            same: _Same = {"holder": holder, "rescuer": rescuer, "clock": parts.clock}
            worker = Worker(parts.database, deliverer, wake=parts.wakeup, **same)
            beside = [Worker(parts.database, one.handler, wake=one.wakeup, **same) for one in side]
            working, *also = (asyncio.create_task(one.run()) for one in (worker, *beside))
            hearing = _hearing(parts, holder)
            try:
                yield RunningSender(worker=worker, side_workers=beside, deliverer=deliverer, identity=holder)
            finally:
                for tell in (worker.stop, *(one.stop for one in beside)):
                    tell()
                for handler in (deliverer, *(one.handler for one in side)):
                    handler.close()
                hearing.cancel()
                _, late = await asyncio.wait({working}, timeout=settings.sender.grace)
                if late:
                    transport.abort()
                await working
                await asyncio.gather(*also)  # a try at telling has its own, shorter limit; an image is given back
                await asyncio.wait({hearing})
                await transport.close()
                await report.close()


def _telling(parts: ProcessParts, report: RelayReport) -> RelayListener:
    """Who hears that the relay is out of reach: who asks why a mail waits, and what measures how fast they leave."""

    def changed(reason: str | None) -> None:
        report.report_outage(reason)
        parts.throughput.set_paused(parts.clock.monotonic(), is_paused=reason is not None)

    return changed


class _Same(TypedDict):
    """What the workers of a process share."""

    holder: SenderIdentity
    rescuer: Rescuer
    clock: Clock


def _hearing(parts: ProcessParts, holder: SenderIdentity) -> asyncio.Future[None]:
    """Hints from other processes; on SQLite there are none."""
    if parts.settings.uses_sqlite:
        return asyncio.get_running_loop().create_future()
    return asyncio.ensure_future(listen_for_wakeups(parts.database, parts.wakeup, holder.boot_id))


def build_sender_app(parts: ProcessParts, running: RunningSender) -> FastAPI:
    """Metrics and readiness of a sender that runs alone."""
    return build_probe_app(parts, partial(running.readiness, parts.database))


def build_probe_app(
    parts: ProcessParts, readiness: Callable[[], Awaitable[list[CheckResult]]] | None = None
) -> FastAPI:
    """Metrics and readiness on a port of their own."""
    app = FastAPI(title="Notifier probes", openapi_url=None, redirect_slashes=False)
    problem_responses.install_error_handlers(app)
    app.add_middleware(HeadAsGet)
    app.state.probes = _probes(parts, readiness or partial(checks.check_database, parts.database))
    app.include_router(routes.router)
    return app


def _probes(
    parts: ProcessParts, readiness: Callable[[], Awaitable[list[CheckResult]]], *, has_metrics: bool = True
) -> Probes:
    token = parts.settings.metrics_token
    return Probes(parts.database, parts.clock, readiness, metrics_token=token, has_metrics=has_metrics)


@asynccontextmanager
async def serve_http(app: FastAPI, listener: socket.socket, limits: ServerLimits | None = None) -> AsyncIterator[None]:
    """Serve the application on the socket until the block ends; requests under way are answered first."""
    async with serve_app(app, listener, limits or find_server_limits(), getattr(app.state, "streams", None)):
        yield
