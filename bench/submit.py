"""(a) POSTs per second of one API process, beside a route of the same process that only parses."""

import statistics
from dataclasses import dataclass

from bench import http
from bench.api import NOOP
from bench.http import Load, Target
from bench.installation import Installation, sample
from bench.process import module, running
from bench.table import Figure, Table, median_and_range, percentile

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
class Run:
    """One run and what it cost the server."""

    load: Load
    server_cpu: float

    @property
    def cpu_each(self) -> float:
        """Seconds of the API process's CPU for a request."""
        return self.server_cpu / len(self.load.latencies)


async def measure(name: str, installation: Installation, plan: Plan) -> Table:
    """Alternate the two routes on a real process and compare; every 202 must be a row afterwards."""
    runs: dict[str, list[Run]] = {NOOP: [], SUBMIT: []}
    accepted = 0
    async with running(module("api"), installation.settings()) as api:
        port = int(await api.line())
        for round_ in range(plan.rounds + 1):
            for path, found in runs.items():
                target = Target(
                    port=port, path=path, key=installation.key, template=plan.template, variables=sample(plan.template)
                )
                warm = round_ == 0
                cpu = api.cpu_seconds()
                load = await http.load(
                    target,
                    seconds=WARM_UP_SECONDS if warm else plan.seconds,
                    most=plan.warm_up if warm else plan.most,
                )
                accepted += len(load.latencies) if path == SUBMIT else 0
                if not warm:
                    found.append(Run(load=load, server_cpu=api.cpu_seconds() - cpu))
    rows = await installation.count()
    if rows != accepted:
        raise AssertionError(f"{accepted} POSTs were answered 202, and {rows} rows are there")
    return _table(name, runs[NOOP], runs[SUBMIT], plan)


def _table(name: str, noop: list[Run], submit: list[Run], plan: Plan) -> Table:
    ratios = [s.load.per_second / n.load.per_second for s, n in zip(submit, noop, strict=True)]
    cpu = [n.cpu_each / s.cpu_each if s.cpu_each else float("nan") for s, n in zip(submit, noop, strict=True)]
    ceiling = statistics.median(run.load.ceiling for run in noop)
    return Table(
        title=f"(a) POST, {name}: {http.CONNECTIONS} keep-alive connections, {plan.template}, {plan.rounds} rounds",
        figures=[
            *_figures("no-op (parses the same model)", noop),
            *_figures("POST /v1/notifications", submit),
            Figure("POST ÷ no-op", median_and_range(ratios, "{:.2f}"), is_ratio=True),
            Figure("CPU of a no-op ÷ CPU of a POST, API process", median_and_range(cpu, "{:.2f}"), is_ratio=True),
            Figure("the generator's own ceiling, by its CPU", f"{ceiling:,.0f} req/s"),
        ],
    )


def _figures(name: str, runs: list[Run]) -> list[Figure]:
    rates = median_and_range([run.load.per_second for run in runs], "{:,.0f}")
    p50, p99 = (statistics.median(percentile(run.load.latencies, q) for run in runs) * 1000 for q in (50, 99))
    cpu = statistics.median(run.cpu_each for run in runs) * 1e6
    return [
        Figure(name, f"{rates} req/s"),
        Figure("  latency p50 / p99, CPU each", f"{p50:.1f} / {p99:.1f} ms, {cpu:,.0f} µs"),
    ]
