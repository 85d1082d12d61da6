"""(o) What a mail costs database, API and senders: the inputs of docs/scaling.md, and a check of its model."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import cpu_count, getloadavg

import asyncpg

from bench.rig import process_tree
from bench.rig.cpu_quota import limit_cores
from bench.rig.delivery_run import DeliveryRun, KeptRows, hold_queue, read_kept_rows, run_delivery
from bench.rig.installation import Installation, Installations
from bench.rig.relay import Relay
from bench.rig.result_table import Figure, Table
from bench.rig.sender_run import SenderSetup
from bench.rig.server_cost import open_other_database
from bench.rig.submission_run import SubmissionRun, run_submission
from notifier.health.capacity_model import (
    DELIVERED_BY,
    SINGLE,
    estimate_checked_delivery,
    estimate_limited_delivery,
)

SESSIONS = 20
"""Sessions of each sender process, with two mails each: what a process has by default."""
MAX_COUNTED = 2000
LIMITED_CORES = 0.25
"""Cores of the database in a delivery that its CPU ends: so few that the senders are never the limit."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int  # deliveries by `DELIVERED_BY` processes
    mails: int  # of each delivery
    batches: tuple[int, ...]  # mails of a request, beside single ones
    processes: tuple[int, ...]  # of the senders


@dataclass(frozen=True, kw_only=True)
class TemplateCosts:
    """All runs with one template."""

    submitted: Mapping[int, SubmissionRun]  # by the mails of a request
    delivered: Mapping[int, list[DeliveryRun]]  # by the processes
    statements: float  # of a delivery, for each mail
    kept: KeptRows  # for each mail after its end
    check: DeliveryRun  # one more delivery, which is compared with the prediction
    limited: DeliveryRun | None  # with a database of `LIMITED_CORES`; None: this machine cannot limit it
    load: float  # of the machine before


async def measure(made: Installations, relay: Relay, template: str, plan: Plan) -> Table:
    """Submit over the API, deliver with real senders, and divide what was used by the mails."""
    load = getloadavg()[0]
    queued = await made.postgresql()
    empty = await read_kept_rows(queued)
    submitted = {SINGLE: await run_submission(queued, template, mails=plan.mails, items=SINGLE)}
    for items in plan.batches:
        installation = await made.postgresql()
        submitted[items] = await run_submission(installation, template, mails=max(plan.mails, items), items=items)
        await made.remove(installation)
    await hold_queue(queued)
    delivered: dict[int, list[DeliveryRun]] = {}
    for processes in plan.processes:
        rounds = plan.rounds if processes == DELIVERED_BY else 1
        delivered[processes] = [await _deliver(made, relay, queued, processes) for _ in range(rounds)]
    check, kept = await _check(made, relay, queued, empty)
    limited = await _deliver_limited(made, relay, queued)
    await made.remove(queued)
    statements = await _count_statements(made, relay, template, min(plan.mails, MAX_COUNTED))
    costs = TemplateCosts(
        submitted=submitted,
        delivered=delivered,
        statements=statements,
        kept=kept,
        check=check,
        limited=limited,
        load=load,
    )
    return _build_table(template, plan, costs)


def _build_setup(processes: int) -> SenderSetup:
    return SenderSetup(sessions=SESSIONS * processes, processes=processes)


async def _deliver(made: Installations, relay: Relay, queued: Installation, processes: int) -> DeliveryRun:
    installation = await made.copy(queued)
    run = await run_delivery(installation, relay, _build_setup(processes))
    await made.remove(installation)
    return run


async def _count_statements(made: Installations, relay: Relay, template: str, mails: int) -> float:
    installation = await made.postgresql()
    await run_submission(installation, template, mails=mails, items=SINGLE)
    await hold_queue(installation)
    run = await run_delivery(installation, relay, _build_setup(DELIVERED_BY), counts_statements=True)
    await made.remove(installation)
    return run.statements / run.mails


async def _check(
    made: Installations, relay: Relay, queued: Installation, empty: KeptRows
) -> tuple[DeliveryRun, KeptRows]:
    """Deliver once more, and measure what is stored afterwards for each mail."""
    installation = await made.copy(queued)
    run = await run_delivery(installation, relay, _build_setup(DELIVERED_BY))
    full = await read_kept_rows(installation)
    await made.remove(installation)
    return run, KeptRows(rows=(full.rows - empty.rows) / run.mails, bytes=(full.bytes - empty.bytes) / run.mails)


async def _deliver_limited(made: Installations, relay: Relay, queued: Installation) -> DeliveryRun | None:
    """Deliver with a database that has a part of a core, so that it is what ends first."""
    installation = await made.copy(queued)
    connection = await asyncpg.connect(open_other_database(installation))
    try:
        server = process_tree.find_parent(await connection.fetchval("SELECT pg_backend_pid()"))
    except OSError:  # it is not on this machine
        return None
    finally:
        await connection.close()
    with limit_cores(server, LIMITED_CORES) as is_limited:
        run = await run_delivery(installation, relay, _build_setup(DELIVERED_BY)) if is_limited else None
    await made.remove(installation)
    return run


def _build_table(template: str, plan: Plan, costs: TemplateCosts) -> Table:
    results = {f"scale.{template}.{name}": value for name, value in _list_results(costs)}
    predicted, measured = estimate_checked_delivery(results, template), costs.check.per_second
    checked = f"{predicted:,.0f} and {measured:,.0f} msg/s, {predicted / measured - 1:+.0%}"
    figures = [
        Figure("load average before", f"{costs.load:.1f}"),
        *(_format_submission(items, run) for items, run in costs.submitted.items()),
        *(_format_delivery(processes, runs) for processes, runs in costs.delivered.items()),
        Figure("a mail delivered: statements", f"{costs.statements:.3f}"),
        Figure("a mail kept after its end", f"{costs.kept.rows:.1f} rows, {costs.kept.bytes:,.0f} bytes with indexes"),
        Figure(
            "the model's check: predicted and measured",
            f"{checked}; others used {costs.check.others:.2f} cores",
            is_headline=True,
        ),
    ]
    if costs.limited is not None:
        expected, measured = estimate_limited_delivery(results, template), costs.limited.per_second
        checked = f"{expected:,.0f} and {measured:,.0f} msg/s, {expected / measured - 1:+.0%}"
        figures.append(Figure(f"with {LIMITED_CORES} cores for the database", checked, is_headline=True))
    return Table(
        title=f"(o) {template}: what a mail costs, {plan.mails:,} mails",
        figures=figures,
        results=results,
    )


def _format_submission(items: int, run: SubmissionRun) -> Figure:
    cpu = f"{run.server.cpu / run.mails * 1e6:,.0f} / {run.api / run.mails * 1e6:,.0f} µs"
    counts = f"{run.server.wal / run.mails:,.0f} bytes of WAL, {run.statements:.3f} statements"
    commits = f"{run.server.written / run.mails:.3f} commits, {run.server.fsyncs / run.mails:.3f} fsyncs"
    name = f"submit, {items:,} in a request: CPU of database / API"
    return Figure(name, f"{cpu}, {counts}, {commits}, {run.connections} connections; {run.per_second:,.0f} a second")


def _format_delivery(processes: int, runs: list[DeliveryRun]) -> Figure:
    each = [
        statistics.median(values) * 1e6
        for values in zip(*((run.server.cpu, run.senders, run.renderers, run.relay) for run in runs), strict=True)
    ]
    cpu = " / ".join(f"{value / runs[0].mails:,.0f}" for value in each)
    run = runs[0]
    counts = f"{run.server.wal / run.mails:,.0f} bytes of WAL ({run.server.pages / run.mails:.3f} full pages)"
    commits = f"{run.server.written / run.mails:.3f} commits, {run.server.fsyncs / run.mails:.3f} fsyncs"
    waits = f"waiting for locks {run.share_of_locks:.0%}, for the WAL {run.share_of_wal:.0%}"
    name = f"deliver, {processes} processes: CPU of database / senders / rendering / relay"
    rate = f"{statistics.median(run.per_second for run in runs):,.0f} msg/s"
    return Figure(name, f"{cpu} µs, {counts}, {commits}, {run.connections} connections, {waits}; {rate}")


def _list_results(costs: TemplateCosts) -> Iterator[tuple[str, float]]:
    """List the plain numbers: CPU in seconds, for each mail; connections of all processes together."""
    for items, submission in costs.submitted.items():
        for name, total in (
            ("database", submission.server.cpu),
            ("api", submission.api),
            ("wal", submission.server.wal),
            ("commits", submission.server.written),
            ("fsyncs", submission.server.fsyncs),
        ):
            yield f"submit.{items}.{name}", total / submission.mails
        yield f"submit.{items}.statements", submission.statements
        yield f"submit.{items}.connections", submission.connections
    for processes, runs in costs.delivered.items():
        for name, totals in (
            ("database", [run.server.cpu for run in runs]),
            ("sender", [run.senders for run in runs]),
            ("renderer", [run.renderers for run in runs]),
            ("relay", [run.relay for run in runs]),
            ("wal", [run.server.wal for run in runs]),
            ("commits", [run.server.written for run in runs]),
            ("fsyncs", [run.server.fsyncs for run in runs]),
        ):
            yield f"deliver.{processes}.{name}", statistics.median(totals) / runs[0].mails
        yield f"deliver.{processes}.rate", statistics.median(run.per_second for run in runs)
        yield f"deliver.{processes}.connections", max(run.connections for run in runs)
        yield f"deliver.{processes}.lock_share", statistics.median(run.share_of_locks for run in runs)
        yield f"deliver.{processes}.wal_share", statistics.median(run.share_of_wal for run in runs)
    yield "deliver.statements", costs.statements
    yield "kept.rows", costs.kept.rows
    yield "kept.bytes", costs.kept.bytes
    yield "load", costs.load
    if costs.limited is not None:
        yield "limited.cores", LIMITED_CORES
        yield "limited.measured", costs.limited.per_second
    yield "check.cores", cpu_count() or 1
    yield "check.measured", costs.check.per_second
    yield "check.others", costs.check.others
