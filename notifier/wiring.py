"""The composition root: builds the API and the sender from the settings. Only this package knows how parts fit."""

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

from notifier.api import problems
from notifier.api.app import create_app
from notifier.api.doors import Doors
from notifier.api.limits import Limits
from notifier.auth.keys import Authenticator
from notifier.auth.usage import Usage
from notifier.clock import Clock
from notifier.db import directory
from notifier.db.engine import Database
from notifier.default_sender import get_default_sender
from notifier.errors import ConfigurationError
from notifier.head_request import HeadAsGet
from notifier.health import checks, routes
from notifier.health.checks import Finding
from notifier.health.probes import Probes
from notifier.http_server import PortBusyError, ServerLimits, find_limits, listen, serve
from notifier.ids import new_id
from notifier.installation import Base, base
from notifier.notification.batch_watch import BatchWatch
from notifier.notification.circuits import Listener
from notifier.notification.deliver import Deliverer
from notifier.notification.make import MailMaker
from notifier.notification.preview import Previewer
from notifier.notification.recipients import RecipientPolicy
from notifier.notification.submit import Submitter
from notifier.notification.submit_batch import BatchSubmitter
from notifier.notification.terms import Terms
from notifier.notification.write import WRITER
from notifier.outbox.hint import hear
from notifier.outbox.holder import Holder
from notifier.outbox.intake import Intake
from notifier.outbox.journal import Journal
from notifier.outbox.life import Life
from notifier.outbox.rescuer import Rescuer
from notifier.outbox.worker import Worker
from notifier.rendering.job import Mailbox
from notifier.rendering.on_demand import PoolOnDemand
from notifier.rendering.pool import RenderingPool
from notifier.side_work import side_work
from notifier.smtp.transport import Transport
from notifier.sse import Streams
from notifier.templating.assets.octets import AssetOctets
from notifier.templating.assets.public_files import PublicFiles
from notifier.templating.editors import Editors
from notifier.templating.gate.gate import Gate
from notifier.templating.publish import Publisher
from notifier.templating.store import Shelf
from notifier.templating.use import Uses
from notifier.throttle.forecast import Forecast
from notifier.throttle.rate import Rates
from notifier.throttle.relay_state import RelayReport
from notifier.webhooks.secret_box import SecretBox

NICE = 5  # rendering is less urgent than replies to callers

__all__ = ["Base", "PortBusyError", "Sender", "api", "base", "http", "listen", "probe_app", "sender", "sender_app"]


def api(parts: Base) -> FastAPI:
    """Build the API application."""
    policy = RecipientPolicy.of(parts.settings.recipients, parts.settings.smtp)
    images = AssetOctets(parts.database, parts.settings.public_url)
    pool = PoolOnDemand(images)
    editors = Editors(pool, parts.clock)
    own = get_default_sender(parts.settings)
    gate = Gate(parts.database, pool, parts.clock, own.address)
    usage, uses = Usage(parts.database, parts.clock), Uses(parts.database, parts.clock)
    forecast = Forecast(parts.database, parts.clock, parts.drain)
    for close in (pool.aclose, usage.close, uses.close, forecast.close):
        parts.ending.push_async_callback(close)
    intake = Intake(parts.database, WRITER, committed=parts.announce)
    shelf = Shelf(parts.database, parts.clock, uses)
    submitter = Submitter(
        parts.database,
        intake.submit,
        shelf=shelf,
        terms=Terms.of(parts.settings.api, own, policy),
        forecast=forecast,
        clock=parts.clock,
    )
    doors = Doors(
        database=parts.database,
        authenticator=Authenticator(parts.database, parts.clock, usage),
        limits=Limits(rates=Rates(parts.clock), settings=parts.settings.api),
        submitter=submitter,
        batch_submitter=BatchSubmitter(parts.database, submitter, parts.clock, intake.submit_all),
        previewer=Previewer(parts.database, editors, policy),
        images=images,
        public_files=PublicFiles(parts.database),
        editors=editors,
        publisher=Publisher(parts.database, pool, gate),
        shelf=shelf,
        gate=gate,
        own_sender=Mailbox(own.address, own.name),
        policy=policy,
        clock=parts.clock,
        wake=parts.announce,
        probes=_build_probes(
            parts, partial(checks.database, parts.database), has_metrics=not parts.settings.api.metrics_port
        ),
        streams=Streams(),
        batch_watch=BatchWatch(parts.database, parts.clock),
        insecure_hosts=parts.settings.webhooks.insecure_hosts,
        secret_box=SecretBox.of(parts.settings.secret_key),
    )
    return create_app(doors)


@dataclass(frozen=True, kw_only=True)
class Sender:
    """A running sender."""

    worker: Worker
    deliverer: Deliverer
    holder: Holder
    beside: Sequence[Worker]  # for webhooks, images and cancelled batches; they have their own slots

    async def drain(self) -> None:
        """Return when nothing is due: no mail, no webhook and no image."""
        await self.worker.drain()
        for worker in self.beside:
            await worker.drain()

    async def readiness(self, database: Database) -> list[Finding]:
        """Check that the database answers, the journal can be written, and the relay takes mail."""
        circuits = self.deliverer.circuits
        is_open = circuits.relay.is_open
        relay = Finding(name="relay", ok=not is_open, detail=circuits.public_reason if is_open else "takes mail")
        journal = self.holder.journal
        return [*await checks.database(database), checks.journal(journal.folder, has_room=journal.writable), relay]


@contextlib.contextmanager
def _open_identity(parts: Base, journals: Path) -> Iterator[Holder]:
    """Open the journal and heartbeat of this process. Raises `ConfigurationError` if the journal cannot be written."""
    boot_id, settings = new_id(), parts.settings
    try:
        journal = Journal(journals, boot_id)
    except OSError as error:
        reason = f"the journal in {journals} cannot be written: {directory.reason(error)}"
        raise ConfigurationError(f"{reason}; {directory.ADVICE}") from error
    life = None
    if not settings.uses_sqlite:
        life = Life(parts.database, boot_id, parts.clock, dead_after=settings.sender.dead_after, drain=parts.drain)
    try:
        yield Holder(boot_id=boot_id, journal=journal, life=life, drain=parts.drain)
    finally:
        parts.drain.forget()
        journal.close()


@asynccontextmanager
async def sender(parts: Base, *, pool: type[RenderingPool] = RenderingPool) -> AsyncIterator[Sender]:
    """Claim and deliver until the block ends. Then finish mails in flight within the grace period; release the rest."""
    settings = parts.settings
    transport = Transport(settings.smtp)
    journals = settings.data_dir / "journal"
    images = AssetOctets(parts.database, settings.public_url)
    policy = RecipientPolicy.of(settings.recipients, settings.smtp)
    with _open_identity(parts, journals) as holder, side_work(parts) as side_tasks:
        async with (
            pool(children=settings.sender.render_children, nice=NICE, images=images) as rendering,
            aclosing(PoolOnDemand(images)) as apart,
        ):
            report = RelayReport(parts.database, holder.boot_id, transport.relay, parts.clock)
            deliverer = Deliverer(
                parts.database,
                MailMaker(parts.database, rendering, apart, policy, parts.clock),
                transport,
                policy=policy,
                settings=settings.sender,
                clock=parts.clock,
            )
            deliverer.circuits.tell, transport.limit.on_change = _build_circuit_listener(parts, report), report.limited
            rescuer = Rescuer(
                parts.database,
                [deliverer, *(task.handler for task in side_tasks)],
                holder=holder,
                journals=journals,
                clock=parts.clock,
                rescued=parts.wake,
            )
            shared: _SharedArguments = {"holder": holder, "rescuer": rescuer, "clock": parts.clock}
            worker = Worker(parts.database, deliverer, wake=parts.wake, **shared)
            beside = [Worker(parts.database, task.handler, wake=task.wake, **shared) for task in side_tasks]
            mail_run, *side_runs = (asyncio.create_task(each.run()) for each in (worker, *beside))
            hearing = _listen_for_hints(parts, holder)
            try:
                yield Sender(worker=worker, beside=beside, deliverer=deliverer, holder=holder)
            finally:
                for each in (worker, *beside):
                    each.stop()
                for handler in (deliverer, *(task.handler for task in side_tasks)):
                    handler.close()
                hearing.cancel()
                _, late = await asyncio.wait({mail_run}, timeout=settings.sender.grace)
                if late:
                    transport.abort()
                await mail_run
                await asyncio.gather(*side_runs)  # a webhook has its own, shorter timeout; an image is released
                await asyncio.wait({hearing})
                await transport.close()
                await report.close()


def _build_circuit_listener(parts: Base, report: RelayReport) -> Listener:
    """Build the listener of the relay's circuit: it updates the relay report and the throughput estimate."""

    def changed(reason: str | None) -> None:
        report.changed(reason)
        parts.drain.shut(parts.clock.monotonic(), is_shut=reason is not None)

    return changed


class _SharedArguments(TypedDict):
    """Arguments that all workers of a process get."""

    holder: Holder
    rescuer: Rescuer
    clock: Clock


def _listen_for_hints(parts: Base, holder: Holder) -> asyncio.Future[None]:
    """Listen for wake-up hints from other processes. On SQLite there are none."""
    if parts.settings.uses_sqlite:
        return asyncio.get_running_loop().create_future()
    return asyncio.ensure_future(hear(parts.database, parts.wake, holder.boot_id))


def sender_app(parts: Base, running: Sender) -> FastAPI:
    """Build the metrics and readiness application of a sender that runs without the API."""
    return probe_app(parts, partial(running.readiness, parts.database))


def probe_app(parts: Base, readiness: Callable[[], Awaitable[list[Finding]]] | None = None) -> FastAPI:
    """Build an application with nothing but metrics and readiness."""
    app = FastAPI(title="Notifier probes", openapi_url=None, redirect_slashes=False)
    problems.install(app)
    app.add_middleware(HeadAsGet)
    app.state.probes = _build_probes(parts, readiness or partial(checks.database, parts.database))
    app.include_router(routes.router)
    return app


def _build_probes(
    parts: Base, readiness: Callable[[], Awaitable[list[Finding]]], *, has_metrics: bool = True
) -> Probes:
    token = parts.settings.metrics_token
    return Probes(parts.database, parts.clock, readiness, metrics_token=token, has_metrics=has_metrics)


@asynccontextmanager
async def http(app: FastAPI, listener: socket.socket, limits: ServerLimits | None = None) -> AsyncIterator[None]:
    """Serve the application on the socket until the block ends. Requests in progress are answered first."""
    async with serve(app, listener, limits or find_limits(), getattr(app.state, "streams", None)):
        yield
