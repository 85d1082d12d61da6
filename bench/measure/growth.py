"""(e) Claims and drains with full tables, with another service's backlog, and under an old snapshot."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import reduce

import asyncpg

from bench.rig import claim_durations, metrics_reader
from bench.rig.child_process import NOTIFIER, run_child
from bench.rig.claim_durations import Durations
from bench.rig.filled_database import AHEAD, SENDABLE, TRICKLE, WAVE, FilledDatabase
from bench.rig.installation import Installation, Installations
from bench.rig.metrics_reader import Histogram
from bench.rig.queue_filler import fill_queue
from bench.rig.relay import Relay, find_free_port
from bench.rig.result_table import Figure, Table, format_median
from bench.rig.sender_run import SenderSetup, run_drain

TEMPLATE = "receipt_inline"
TICK = 0.1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    waves: int  # over each of the tables
    mails: int  # of each wave
    deferred: int
    finished: int
    ahead: int  # due mails of another service
    trickle: int  # mails that arrive in a second while a snapshot is held
    trickle_seconds: float
    patience: float  # maximum seconds of a wave
    setup: SenderSetup

    @property
    def trickled(self) -> int:
        """The family of all mails that arrive one after the other."""
        return round(self.trickle * self.trickle_seconds)


@dataclass(frozen=True, kw_only=True)
class WaveResult:
    """The result of a wave: how its mails were sent."""

    sent: int
    per_second: float
    beside: int  # mails of the other service that were sent meanwhile
    both_per_second: float
    claims: "Claims"


@dataclass(kw_only=True)
class Claims:
    """Durations of claims, measured by the sender and by the server."""

    seen: Histogram
    served: Durations

    def __add__(self, other: "Claims") -> "Claims":
        return Claims(seen=self.seen + other.seen, served=Durations(seconds=self.served.seconds + other.served.seconds))

    def __str__(self) -> str:
        times = (1000 * each.percentile(q) for each in (self.seen, self.served) for q in (50, 99))
        return "{:,.0f}, p50 {:.1f} ms, p99 {:.1f} ms; in the server p50 {:.1f}, p99 {:.1f} ms".format(
            self.seen.count, *times
        )


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A running sender."""

    installation: Installation
    port: int  # of its metrics

    @asynccontextmanager
    async def claims(self) -> AsyncIterator[Claims]:
        """Yield the claims of the block, which are complete at its end."""
        before = await metrics_reader.read_histogram(self.port, metrics_reader.CLAIMS)
        claims = Claims(seen=before, served=Durations())
        async with claim_durations.record_claims(self.installation, claims.served):
            yield claims
        claims.seen = await metrics_reader.read_histogram(self.port, metrics_reader.CLAIMS) - before


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The results of a few waves over the same tables."""

    name: str
    waves: list[WaveResult]

    @property
    def rates(self) -> list[float]:
        """Mails per second of each wave."""
        return [wave.per_second for wave in self.waves]

    @property
    def both(self) -> float:
        """Mails per second of both services, the median."""
        return statistics.median(wave.both_per_second for wave in self.waves)

    @property
    def claims(self) -> Claims:
        """The claims of all its waves."""
        return reduce(Claims.__add__, (wave.claims for wave in self.waves))


async def measure(made: Installations, relay: Relay, plan: Plan) -> Table:
    """Measure the same waves over empty tables, over the three others, and over empty ones again."""
    base = await _base(made, relay, plan)
    empty = await _over_empty(made, base, relay, plan)
    filled = await made.copy(base)
    started = time.perf_counter()
    async with _scene(filled) as scene:
        await scene.history(deferred=plan.deferred, finished=plan.finished)
        filling = time.perf_counter() - started
        async with _sender(filled, relay, plan) as sending:
            full = await _waves(scene, sending, plan)
        await scene.ahead(plan.ahead)
        async with _sender(filled, relay, plan) as sending:
            behind = await _waves(scene, sending, plan, first=WAVE + plan.waves)
    await made.remove(filled)
    trickle, under_snapshot = await _under_snapshot(made, base, relay, plan)
    empty += await _over_empty(made, base, relay, plan)
    await made.remove(base)
    scenarios = [
        Scenario(name="empty tables", waves=empty),
        Scenario(name="full tables", waves=full),
        Scenario(name="another service's backlog ahead", waves=behind),
        Scenario(name="under an old snapshot", waves=under_snapshot),
    ]
    return _table(plan, scenarios, trickle, filling)


async def _base(made: Installations, relay: Relay, plan: Plan) -> Installation:
    """Create one sent mail and one waiting mail, from which all others are copied."""
    base = await made.postgresql()
    await fill_queue(base, TEMPLATE, 1)
    await run_drain(base, relay.port, 1, plan.setup)
    await fill_queue(base, TEMPLATE, 1)
    return base


async def _over_empty(made: Installations, base: Installation, relay: Relay, plan: Plan) -> list[WaveResult]:
    installation = await made.copy(base)
    async with _scene(installation) as scene, _sender(installation, relay, plan) as sending:
        waves = await _waves(scene, sending, plan)
    await made.remove(installation)
    return waves


async def _under_snapshot(
    made: Installations, base: Installation, relay: Relay, plan: Plan
) -> tuple[Claims, list[WaveResult]]:
    """Hold a snapshot while mails come and go for a while, and during the waves after that."""
    installation = await made.copy(base)
    async with _scene(installation) as scene, _scene(installation) as idle:
        await idle.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await idle.connection.fetchval("SELECT count(*) FROM outbox_entry")
        async with _sender(installation, relay, plan) as sending:
            async with sending.claims() as claims:
                await _trickle(scene, plan)
            await scene.until_sent(TRICKLE, plan.trickled, patience=plan.patience)
            waves = await _waves(scene, sending, plan)
    await made.remove(installation)
    return claims, waves


async def _trickle(scene: FilledDatabase, plan: Plan) -> None:
    """Add as many mails a second as planned, however fast the sender is."""
    started = time.perf_counter()
    done = 0
    while done < plan.trickled:
        due = min(plan.trickled, 1 + int((time.perf_counter() - started) * plan.trickle))
        await scene.arrive(TRICKLE, range(done, due))
        done = due
        await asyncio.sleep(TICK)


async def _waves(scene: FilledDatabase, sending: Sending, plan: Plan, *, first: int = WAVE) -> list[WaveResult]:
    """Run one wave after the other, each with its own family of ids."""
    return [await _wave(scene, sending, plan, family) for family in range(first, first + plan.waves)]


async def _wave(scene: FilledDatabase, sending: Sending, plan: Plan, family: int) -> WaveResult:
    """Run a wave: time its mails from the first try to the last settle, and the claims meanwhile."""
    beside = (await scene.sent_of(AHEAD, SENDABLE)).count
    async with sending.claims() as claims:
        started = time.time()
        await scene.arrive(family, range(plan.mails))
        sent = await scene.until_sent(family, plan.mails, patience=plan.patience)
    beside = (await scene.sent_of(AHEAD, SENDABLE)).count - beside
    whole = sent.count == plan.mails
    rate = sent.count / (sent.last - (sent.first if whole else started))
    both = (sent.count + beside) / (sent.last - started)
    return WaveResult(
        sent=sent.count,
        per_second=rate,
        beside=beside,
        both_per_second=both if beside else rate,  # meanwhile only mails of the other service can be sent
        claims=claims,
    )


@asynccontextmanager
async def _scene(installation: Installation) -> AsyncIterator[FilledDatabase]:
    connection = await asyncpg.connect(installation.url)
    try:
        yield await FilledDatabase.of(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def _sender(installation: Installation, relay: Relay, plan: Plan) -> AsyncIterator[Sending]:
    """Run a sender until the block ends."""
    await claim_durations.log_durations(installation)
    port = find_free_port()
    settings = plan.setup.settings(installation, relay.port)
    async with run_child(
        [NOTIFIER, *plan.setup.words], settings | {"NOTIFIER_SENDER__METRICS_PORT": str(port)}
    ) as sender:
        await sender.line()
        yield Sending(installation=installation, port=port)


def _table(plan: Plan, scenarios: list[Scenario], trickle: Claims, filling: float) -> Table:
    empty = statistics.median(scenarios[0].rates)
    figures = [Figure("rows filled in", f"{filling:.0f} s")]
    results: dict[str, float] = {}
    for scenario in scenarios:
        figures += _figures(scenario, plan, empty)
        results |= _results(scenario, empty)
    figures.append(
        Figure(f"claims while {plan.trickle:,} mails/s come and go under it", str(trickle), is_headline=True)
    )
    results["growth.trickle.claim_p99"] = trickle.served.percentile(99)
    results["growth.trickle.claim_p99_seen"] = trickle.seen.percentile(99)
    beside = f"beside {plan.deferred:,} deferred, {plan.finished:,} finished, {plan.ahead:,} of another service"
    return Table(
        title=f"(e) growth: {plan.mails:,} {TEMPLATE} {beside}; a snapshot held for {plan.trickle_seconds:.0f} s",
        figures=figures,
        results=results,
    )


def _figures(scenario: Scenario, plan: Plan, empty: float) -> list[Figure]:
    late = sum(wave.sent < plan.mails for wave in scenario.waves)
    missing = f"; {late} of {len(scenario.waves)} waves took more than {plan.patience:.0f} s" if late else ""
    beside = f"; {scenario.both:,.0f} with the other service" if any(wave.beside for wave in scenario.waves) else ""
    return [
        Figure(scenario.name, f"{format_median(scenario.rates, '{:,.0f}')} msg/s{beside}{missing}"),
        Figure(f"  {scenario.name}: claims", str(scenario.claims), is_headline=True),
        Figure(f"  {scenario.name} ÷ empty", f"{scenario.both / empty:.2f}", is_headline=True),
    ]


def _results(scenario: Scenario, empty: float) -> Mapping[str, float]:
    key = f"growth.{scenario.name.replace(' ', '_')}"
    return {
        f"{key}.rate": statistics.median(scenario.rates),
        f"{key}.ratio": scenario.both / empty,
        f"{key}.claim_p99": scenario.claims.served.percentile(99),
        f"{key}.claim_p99_seen": scenario.claims.seen.percentile(99),
    }
