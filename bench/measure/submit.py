"""(a) POSTs per second of one API process, compared with a route of the same process that only parses."""

import json
import statistics
from dataclasses import dataclass, replace

from bench.rig import http_load, server_cost
from bench.rig.child_process import Child, build_module_command, run_child
from bench.rig.http_load import LoadResult, Target
from bench.rig.installation import Installation, read_sample
from bench.rig.measured_api import NOOP
from bench.rig.result_table import Figure, Table, compute_percentile, format_median
from bench.rig.server_cost import Cost

SUBMIT = "/v1/notifications"
WARM_UP_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    seconds: float  # of each run; a round has two, one for each route
    most: int  # requests in a run
    warm_up: int  # requests before the first
    template: str


@dataclass(frozen=True, kw_only=True)
class SubmitRun:
    """One run and its cost for the server."""

    load: LoadResult
    server_cpu: float

    @property
    def cpu_each(self) -> float:
        """Seconds of the API process's CPU for a request."""
        return self.server_cpu / len(self.load.latencies)


@dataclass(frozen=True, kw_only=True)
class SubmitResults:
    """All runs over one database."""

    noop: list[SubmitRun]
    submit: list[SubmitRun]
    accepted: int
    statements: float  # for each POST of the warm-up
    cost: Cost | None  # of all POSTs; None on SQLite


async def measure(installation: Installation, plan: Plan) -> Table:
    """Alternate the two routes on a real process and compare; every 202 must be a row afterwards."""
    before = await server_cost.read_cost(installation) if installation.is_postgresql else None
    async with run_child(build_module_command("measured_api"), installation.settings()) as api:
        runs = await _runs(api, int(await api.line()), installation, plan)
    spent = await server_cost.read_cost(installation) - before if before else None
    rows = await installation.count()
    if rows != runs.accepted:
        raise AssertionError(f"{runs.accepted} POSTs were answered 202, and {rows} rows are there")
    return _table("postgresql" if before else "sqlite", replace(runs, cost=spent), plan)


async def _runs(api: Child, port: int, installation: Installation, plan: Plan) -> SubmitResults:
    """Run the warm-up, in which statements are counted, and the rounds."""
    runs: dict[str, list[SubmitRun]] = {NOOP: [], SUBMIT: []}
    targets = [
        Target(port=port, path=path, key=installation.key, template=plan.template, variables=read_sample(plan.template))
        for path in runs
    ]
    await http_load.run_load(targets[0], seconds=WARM_UP_SECONDS, most=plan.warm_up)
    async with server_cost.count_statements(installation) as counted:
        warm_up = await http_load.run_load(targets[1], seconds=WARM_UP_SECONDS, most=plan.warm_up)
    accepted = len(warm_up.latencies)
    for _ in range(plan.rounds):
        for target in targets:
            cpu = api.cpu_seconds()
            load = await http_load.run_load(target, seconds=plan.seconds, most=plan.most)
            runs[target.path].append(SubmitRun(load=load, server_cpu=api.cpu_seconds() - cpu))
    return SubmitResults(
        noop=runs[NOOP],
        submit=runs[SUBMIT],
        accepted=accepted + sum(len(run.load.latencies) for run in runs[SUBMIT]),
        statements=counted.count / accepted,
        cost=None,
    )


def _table(name: str, measured: SubmitResults, plan: Plan) -> Table:
    noop, submit = measured.noop, measured.submit
    ratios = [s.load.per_second / n.load.per_second for s, n in zip(submit, noop, strict=True)]
    cpu = [n.cpu_each / s.cpu_each if s.cpu_each else float("nan") for s, n in zip(submit, noop, strict=True)]
    ceiling = statistics.median(run.load.ceiling for run in noop)
    connections = http_load.CONNECTIONS
    return Table(
        title=f"(a) POST, {name}: {connections} keep-alive connections, {plan.template}, {plan.rounds} rounds",
        figures=[
            *_figures("no-op", noop),
            *_figures("POST /v1/notifications", submit),
            Figure("POST ÷ no-op", format_median(ratios, "{:.2f}"), is_headline=True),
            Figure("CPU of a no-op ÷ CPU of a POST, API process", format_median(cpu, "{:.2f}"), is_headline=True),
            *_costs(measured, plan),
            Figure("the generator's own ceiling, by its CPU", f"{ceiling:,.0f} req/s"),
        ],
        results={
            f"submit.{name}.rate": statistics.median(run.load.per_second for run in submit),
            f"submit.{name}.ratio": statistics.median(ratios),
            f"submit.{name}.p99": statistics.median(compute_percentile(run.load.latencies, 99) for run in submit),
        },
    )


def _costs(measured: SubmitResults, plan: Plan) -> list[Figure]:
    """Count the server's costs in the block; nothing on SQLite."""
    if measured.cost is None:
        return []
    variables = len(json.dumps(read_sample(plan.template), ensure_ascii=False, separators=(",", ":")).encode())
    wal = measured.cost.wal / measured.accepted
    return [
        Figure("a POST: statements, with BEGIN and COMMIT", f"{measured.statements:.2f}"),
        Figure(
            "10 POSTs: commits that wrote (transaction ids)", f"{measured.cost.written / measured.accepted * 10:.2f}"
        ),
        Figure("a POST: WAL, and beyond its variables", f"{wal:,.0f}, {wal - variables:,.0f} octets", is_headline=True),
    ]


def _figures(name: str, runs: list[SubmitRun]) -> list[Figure]:
    rates = format_median([run.load.per_second for run in runs], "{:,.0f}")
    p50, p99 = (statistics.median(compute_percentile(run.load.latencies, q) for run in runs) * 1000 for q in (50, 99))
    cpu = statistics.median(run.cpu_each for run in runs) * 1e6
    return [
        Figure(name, f"{rates} req/s"),
        Figure(f"  {name}: p50 / p99, CPU each", f"{p50:.1f} / {p99:.1f} ms, {cpu:,.0f} µs", is_headline=True),
    ]
