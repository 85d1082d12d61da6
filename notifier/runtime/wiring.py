"""The composition root: builds the API and the sender from the settings."""

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
from notifier.api.errors import problem_responses
from notifier.clock import Clock
from notifier.console.app import create_console
from notifier.db import data_directory
from notifier.db.engine import Database
from notifier.delivery.email_handler import EmailHandler
from notifier.delivery.mail_renderer import MailRenderer
from notifier.delivery.relay_circuits import RelayListener
from notifier.email_address import RecipientPolicy
from notifier.errors import ConfigurationError
from notifier.head_request import HeadAsGet
from notifier.health import checks, probes
from notifier.health.checks import CheckResult
from notifier.health.probes import Probes
from notifier.http_server import PortBusyError, ServerLimits, find_server_limits, open_listener, serve_app
from notifier.ids import generate_id
from notifier.outbox.heartbeat import Heartbeat, SenderIdentity
from notifier.outbox.journal import Journal
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.wakeup import listen_for_wakeups
from notifier.outbox.worker import Worker
from notifier.rendering.pool import RenderingPool
from notifier.rendering.preview_pool import PreviewPool
from notifier.runtime.background_workers import open_side_work, watch_for_work
from notifier.runtime.process_parts import ProcessParts, open_process_parts
from notifier.runtime.site import Site, build_api_dependencies, build_console_dependencies
from notifier.smtp.transport import SmtpTransport
from notifier.telemetry.request_observer import RequestObserver
from notifier.templating.assets.image_cache import InlineImageCache
from notifier.throttle.relay_state import RelayReport

RENDER_NICE = 5  # rendering is less urgent than replies to callers

__all__ = [
    "PortBusyError",
    "ProcessParts",
    "RunningSender",
    "build_api",
    "build_probe_app",
    "build_sender_app",
    "build_site",
    "open_listener",
    "open_process_parts",
    "run_sender",
    "serve_http",
]


def build_api(parts: ProcessParts) -> FastAPI:
    """Build the API application."""
    dependencies = build_api_dependencies(parts, _build_api_probes(parts))
    return create_app(dependencies, access_log=parts.settings.api.access_log)


def build_site(parts: ProcessParts) -> Site:
    """Build the API and the console as one application; they share their parts."""
    dependencies = build_api_dependencies(parts, _build_api_probes(parts))
    settings, access_log = parts.settings, parts.settings.api.access_log
    api = create_app(dependencies, access_log=access_log)
    if not settings.console.enabled:
        return Site(api, None)
    return Site(api, create_console(build_console_dependencies(dependencies, settings), access_log=access_log))


def _build_api_probes(parts: ProcessParts) -> Probes:
    database = partial(checks.check_database, parts.database)
    return _build_probes(parts, database, has_metrics=not parts.settings.api.metrics_port)


@dataclass(frozen=True, kw_only=True)
class RunningSender:
    """A running sender."""

    worker: Worker
    deliverer: EmailHandler
    identity: SenderIdentity
    side_workers: Sequence[Worker]  # for webhooks, jobs and cancelled batches; they have their own slots

    async def drain(self) -> None:
        """Work until no mail, webhook, job or batch is due."""
        await self.worker.drain()
        for worker in self.side_workers:
            await worker.drain()

    async def readiness(self, database: Database) -> list[CheckResult]:
        """Check that the database answers, the journal can be written, and the relay takes mail."""
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
def _open_identity(parts: ProcessParts, journals: Path) -> Iterator[SenderIdentity]:
    """Open the journal and heartbeat of this process. Raises `ConfigurationError` if the journal cannot be written."""
    boot_id, settings = generate_id(), parts.settings
    try:
        journal = Journal(journals, boot_id)
    except OSError as error:
        reason = f"the journal in {journals} cannot be written: {data_directory.describe_os_error(error)}"
        raise ConfigurationError(f"{reason}; {data_directory.DIRECTORY_ADVICE}") from error
    heartbeat = None
    if not settings.uses_sqlite:
        heartbeat = Heartbeat(
            parts.database, boot_id, parts.clock, dead_after=settings.sender.dead_after, throughput=parts.throughput
        )
    try:
        yield SenderIdentity(boot_id=boot_id, journal=journal, heartbeat=heartbeat, throughput=parts.throughput)
    finally:
        parts.throughput.reset()
        journal.close()


@asynccontextmanager
async def run_sender(parts: ProcessParts, *, pool: type[RenderingPool] = RenderingPool) -> AsyncIterator[RunningSender]:
    """Claim and deliver until the block ends. Mails in flight then finish within the grace period, or are released."""
    settings = parts.settings
    transport = SmtpTransport(settings.smtp)
    journals = settings.data_dir / "journal"
    images = InlineImageCache(parts.database, settings.public_url)
    policy = RecipientPolicy.from_settings(settings.recipients, settings.smtp)
    with _open_identity(parts, journals) as identity, open_side_work(parts) as side_tasks:
        async with (
            pool(
                children=settings.sender.render_children,
                nice=RENDER_NICE,
                load_images=images.load_base64,
                public_url=images.public_url,
            ) as rendering,
            aclosing(PreviewPool(images.load_base64, images.public_url)) as apart,
            watch_for_work(parts, side_tasks),
        ):
            report = RelayReport(parts.database, identity.boot_id, transport.relay, parts.clock)
            deliverer = EmailHandler(
                parts.database,
                MailRenderer(parts.database, rendering, apart, policy, parts.clock),
                transport,
                policy=policy,
                settings=settings.sender,
                clock=parts.clock,
            )
            deliverer.circuits.listener = _build_circuit_listener(parts, report)
            transport.limit.on_change = report.report_connection_limit
            rescuer = Rescuer(
                parts.database,
                [deliverer, *(task.handler for task in side_tasks)],
                holder=identity,
                journals=journals,
                clock=parts.clock,
                on_rescue=parts.wakeup,
            )
            shared: _SharedArguments = {"holder": identity, "rescuer": rescuer, "clock": parts.clock}
            worker = Worker(parts.database, deliverer, wake=parts.wakeup, **shared)
            side_workers = [Worker(parts.database, task.handler, wake=task.wakeup, **shared) for task in side_tasks]
            mail_run, *side_runs = (asyncio.create_task(each.run()) for each in (worker, *side_workers))
            listening = _listen_for_wakeups(parts, identity)
            try:
                yield RunningSender(worker=worker, side_workers=side_workers, deliverer=deliverer, identity=identity)
            finally:
                for each in (worker, *side_workers):
                    each.stop()
                for handler in (deliverer, *(task.handler for task in side_tasks)):
                    handler.close()
                listening.cancel()
                _, late = await asyncio.wait({mail_run}, timeout=settings.sender.grace)
                if late:
                    transport.abort()
                await mail_run
                await asyncio.gather(*side_runs)  # a webhook has a shorter timeout of its own; an image is released
                await asyncio.wait({listening})
                await transport.close()
                await report.close()


def _build_circuit_listener(parts: ProcessParts, report: RelayReport) -> RelayListener:
    """Build the listener of the relay's circuit: it updates the relay report and the throughput estimate."""

    def changed(reason: str | None) -> None:
        report.report_outage(reason)
        parts.throughput.set_paused(parts.clock.monotonic(), is_paused=reason is not None)

    return changed


class _SharedArguments(TypedDict):
    """Arguments that all workers of a process get."""

    holder: SenderIdentity
    rescuer: Rescuer
    clock: Clock


def _listen_for_wakeups(parts: ProcessParts, identity: SenderIdentity) -> asyncio.Future[None]:
    """Listen for wake-ups from other processes. On SQLite there are none."""
    if parts.settings.uses_sqlite:
        return asyncio.get_running_loop().create_future()
    return asyncio.ensure_future(listen_for_wakeups(parts.database, parts.wakeup, identity.boot_id))


def build_sender_app(parts: ProcessParts, running: RunningSender) -> FastAPI:
    """Build the metrics and readiness application of a sender that runs without the API."""
    return build_probe_app(parts, partial(running.readiness, parts.database))


def build_probe_app(
    parts: ProcessParts, readiness: Callable[[], Awaitable[list[CheckResult]]] | None = None
) -> FastAPI:
    """Build an application that has metrics and readiness only."""
    app = FastAPI(title="Notifier probes", openapi_url=None, redirect_slashes=False)
    problem_responses.install_error_handlers(app)
    app.add_middleware(HeadAsGet)
    app.state.probes = _build_probes(parts, readiness or partial(checks.check_database, parts.database))
    app.include_router(probes.router)
    app.middleware_stack = RequestObserver(app.build_middleware_stack())
    return app


def _build_probes(
    parts: ProcessParts, readiness: Callable[[], Awaitable[list[CheckResult]]], *, has_metrics: bool = True
) -> Probes:
    token = parts.settings.metrics_token
    return Probes(parts.database, parts.standby, readiness, parts.clock, metrics_token=token, has_metrics=has_metrics)


@asynccontextmanager
async def serve_http(
    app: FastAPI | Site, listener: socket.socket, limits: ServerLimits | None = None
) -> AsyncIterator[None]:
    """Serve the application on the socket until the block ends. Requests in progress are answered first."""
    async with serve_app(app, listener, limits or find_server_limits(), getattr(app.state, "streams", None)):
        yield
