"""(e) Whether claims and drains stay as fast when the tables are full, a neighbour is early, or a snapshot lingers."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from bench import scrape
from bench.filling import preload
from bench.installation import Installation, Installations
from bench.process import NOTIFIER, running
from bench.relay import Relay, free_port
from bench.scene import AHEAD, SENDABLE, TRICKLE, WAVE, Scene
from bench.scrape import Histogram
from bench.sender import Setup, drain
from bench.table import Figure, Table

TEMPLATE = "receipt_inline"
TICK = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    mails: int  # of each wave whose drain is timed
    deferred: int
    finished: int
    ahead: int  # due mails of another service
    trickle: int  # mails that arrive in a second while a snapshot is held
    trickle_seconds: float
    patience: float  # seconds that a wave may take
    setup: Setup

    @property
    def trickled(self) -> int:
        """All mails that arrive one after the other."""
        return round(self.trickle * self.trickle_seconds)


@dataclass(frozen=True, kw_only=True)
class Wave:
    """How mails that arrived at once went out."""

    name: str
    sent: int
    per_second: float
    beside: int  # mails of the other service that were sent meanwhile
    both_per_second: float
    claims: Histogram


async def measure(made: Installations, relay: Relay, plan: Plan) -> Table:
    """The same wave over an empty database, over the three others, and over an empty one again."""
    base = await _base(made, relay, plan)
    waves = [await _over_empty(made, base, relay, plan)]
    filled = await made.copy(base)
    started = time.perf_counter()
    async with _scene(filled) as scene:
        await scene.history(deferred=plan.deferred, finished=plan.finished)
        filling = time.perf_counter() - started
        async with _sender(filled, relay, plan) as port:
            waves.append(await _wave("full tables", scene, port, plan))
        await scene.ahead(plan.ahead)
        async with _sender(filled, relay, plan) as port:
            waves.append(await _wave("another service's backlog ahead", scene, port, plan, family=WAVE + 1))
    await made.remove(filled)
    trickle, under_snapshot = await _under_snapshot(made, base, relay, plan)
    waves += [under_snapshot, await _over_empty(made, base, relay, plan)]
    await made.remove(base)
    return _table(plan, waves, trickle, filling)


async def _base(made: Installations, relay: Relay, plan: Plan) -> Installation:
    """One mail that was sent and one that waits: what all others are copied from."""
    base = await made.postgresql()
    await preload(base, TEMPLATE, 1)
    await drain(base, relay.port, 1, plan.setup)
    await preload(base, TEMPLATE, 1)
    return base


async def _over_empty(made: Installations, base: Installation, relay: Relay, plan: Plan) -> Wave:
    installation = await made.copy(base)
    async with _scene(installation) as scene, _sender(installation, relay, plan) as port:
        wave = await _wave("empty tables", scene, port, plan)
    await made.remove(installation)
    return wave


async def _under_snapshot(made: Installations, base: Installation, relay: Relay, plan: Plan) -> tuple[Histogram, Wave]:
    """Mails arrive and leave while one snapshot is held; then a wave, with it still held."""
    installation = await made.copy(base)
    async with _scene(installation) as scene, _scene(installation) as idle:
        await idle.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await idle.connection.fetchval("SELECT count(*) FROM outbox_entry")
        async with _sender(installation, relay, plan) as port:
            before = await scrape.histogram(port, scrape.CLAIMS)
            await _trickle(scene, plan)
            claims = await scrape.histogram(port, scrape.CLAIMS) - before
            await scene.until_sent(TRICKLE, plan.trickled, patience=plan.patience)
            wave = await _wave("under an old snapshot", scene, port, plan)
    await made.remove(installation)
    return claims, wave


async def _trickle(scene: Scene, plan: Plan) -> None:
    """As many mails a second as planned, whatever the sender does with them."""
    started = time.perf_counter()
    done = 0
    while done < plan.trickled:
        due = min(plan.trickled, 1 + int((time.perf_counter() - started) * plan.trickle))
        await scene.arrive(TRICKLE, range(done, due))
        done = due
        await asyncio.sleep(TICK)


async def _wave(name: str, scene: Scene, port: int, plan: Plan, *, family: int = WAVE) -> Wave:
    """Mails that arrive at once, from the first try to the last settle, and the claims of that time."""
    before = await scrape.histogram(port, scrape.CLAIMS)
    beside = (await scene.sent_of(AHEAD, SENDABLE)).count
    started = time.time()
    await scene.arrive(family, range(plan.mails))
    sent = await scene.until_sent(family, plan.mails, patience=plan.patience)
    beside = (await scene.sent_of(AHEAD, SENDABLE)).count - beside
    claims = await scrape.histogram(port, scrape.CLAIMS) - before
    whole = sent.count == plan.mails
    rate = sent.count / (sent.last - (sent.first if whole else started))
    both = (sent.count + beside) / (sent.last - started)
    return Wave(
        name=name,
        sent=sent.count,
        per_second=rate,
        beside=beside,
        both_per_second=both if beside else rate,  # making the wave takes a moment in which only the others can go
        claims=claims,
    )


@asynccontextmanager
async def _scene(installation: Installation) -> AsyncIterator[Scene]:
    connection = await asyncpg.connect(installation.url)
    try:
        yield await Scene.of(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def _sender(installation: Installation, relay: Relay, plan: Plan) -> AsyncIterator[int]:
    """A sender until the block ends; yields the port of its metrics."""
    port = free_port()
    settings = plan.setup.settings(installation, relay.port)
    async with running(
        [NOTIFIER, *plan.setup.words], settings | {"NOTIFIER_SENDER__METRICS_PORT": str(port)}
    ) as sender:
        await sender.line()
        yield port


def _table(plan: Plan, waves: list[Wave], trickle: Histogram, filling: float) -> Table:
    empty = (waves[0].per_second + waves[-1].per_second) / 2
    figures = [Figure("rows filled in", f"{filling:.0f} s")]
    results: dict[str, float] = {}
    for wave in waves:
        figures += _figures(wave, plan, empty)
        results |= _results(wave, empty)
    figures.append(
        Figure(f"claims while {plan.trickle:,} mails/s come and go under it", _claims(trickle), is_headline=True)
    )
    results["growth.trickle.claim_p99"] = trickle.percentile(99)
    beside = f"beside {plan.deferred:,} deferred, {plan.finished:,} finished, {plan.ahead:,} of another service"
    return Table(
        title=f"(e) growth: {plan.mails:,} {TEMPLATE} {beside}; a snapshot held for {plan.trickle_seconds:.0f} s",
        figures=figures,
        results=results,
    )


def _figures(wave: Wave, plan: Plan, empty: float) -> list[Figure]:
    missing = f", only {wave.sent:,} of {plan.mails:,} in {plan.patience:.0f} s" if wave.sent < plan.mails else ""
    beside = f", with {wave.beside:,} of the other service {wave.both_per_second:,.0f}" if wave.beside else ""
    return [
        Figure(wave.name, f"{wave.per_second:,.0f} msg/s{beside}{missing}"),
        Figure(f"  {wave.name}: claims", _claims(wave.claims), is_headline=True),
        Figure(f"  {wave.name} ÷ empty", f"{wave.both_per_second / empty:.2f}", is_headline=True),
    ]


def _claims(claims: Histogram) -> str:
    p50, p99 = (1000 * claims.percentile(q) for q in (50, 99))
    return f"{claims.count:,.0f}, p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def _results(wave: Wave, empty: float) -> Mapping[str, float]:
    key = f"growth.{wave.name.replace(' ', '_')}"
    return {
        f"{key}.rate": wave.per_second,
        f"{key}.ratio": wave.both_per_second / empty,
        f"{key}.claim_p99": wave.claims.percentile(99),
    }
