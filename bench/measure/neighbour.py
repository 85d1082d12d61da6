"""(l) Effects on a service while another client uses all that it is allowed: latency, refusals, memory.

`bench/rig/greedy_client.py` makes each attack in a separate process, one after the other, after a quiet run.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.rig import http_load, process_tree
from bench.rig.child_process import NOTIFIER, Child, build_module_command, run_child
from bench.rig.greedy_client import ATTACKS
from bench.rig.http_load import Target
from bench.rig.installation import Installation, Installations, read_sample
from bench.rig.result_table import Figure, Table, compute_percentile
from bench.rig.smtp_sink import Sink
from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import ADMIN_SCOPES, SERVICE_SCOPES
from notifier.clock import SystemClock
from notifier.db.engine import Database

CONNECTIONS = 8
PAUSE_SECONDS = 0.1
ARRIVAL_SECONDS = 60.0
MEMORY_INTERVAL = 0.25
TEMPLATE = "welcome"
MEGABYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    seconds: float  # of the quiet run and of each attack
    most: int  # POSTs in each
    mails: int  # mails that are timed to the relay in each
    attacks: tuple[str, ...] = tuple(ATTACKS)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The neighbour's measurements of one run."""

    posts: list[float]  # seconds, POST to 202
    arrivals: list[float]  # seconds, POST to the relay's 250, of mails of priority `high`
    memory: Mapping[str, int]  # bytes, the maximum of each process tree
    statuses: Mapping[str, int]  # statuses of the attacker's replies


async def measure(made: Installations, plan: Plan) -> Table:
    """Measure a quiet run, then each attack; a POST of the neighbour without a 202 ends the measurement."""
    installation = await made.postgresql()
    attacker, admin = await _create_keys(installation)
    observations: dict[str, Observation] = {}
    async with Sink() as sink:
        settings = _with_default_limits(installation.settings(smtp_port=sink.port))
        async with (
            run_child([NOTIFIER, "api", "--port", "0"], settings) as api,
            run_child([NOTIFIER, "sender"], settings) as sender,
        ):
            port = int((await api.line()).rpartition(":")[2])
            target = Target(
                port=port,
                path="/v1/notifications",
                key=installation.key,
                template=TEMPLATE,
                variables=read_sample(TEMPLATE),
                priority="high",
            )
            neighbour = Neighbour(target=target, sink=sink, trees={"API": api.pid, "sender": sender.pid})
            await http_load.run_load(target, seconds=plan.seconds, most=min(plan.most, 200), connections=CONNECTIONS)
            observations["quiet"] = await neighbour.observe(plan)
            for attack in plan.attacks:
                async with _attacked(attack, port, attacker, admin) as attacking:
                    seen = await neighbour.observe(plan)
                    await attacking.terminate()
                    statuses = json.loads(await attacking.line())
                observations[attack] = Observation(
                    posts=seen.posts, arrivals=seen.arrivals, memory=seen.memory, statuses=statuses
                )
    return _table(observations, plan)


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A service that sends as usual during the attacks."""

    target: Target
    sink: Sink
    trees: Mapping[str, int]  # the root of each measured process tree

    async def observe(self, plan: Plan) -> Observation:
        """POST all the time, and also time single mails to the relay."""
        peaks = dict.fromkeys(self.trees, 0)
        watching = asyncio.create_task(self._watch_memory(peaks))
        loading = asyncio.create_task(
            http_load.run_load(
                self.target, seconds=plan.seconds, most=plan.most, connections=CONNECTIONS, pause=PAUSE_SECONDS
            )
        )
        try:
            arrivals = [await self._follow_mail() for _ in range(plan.mails)]
            load = await loading
        finally:
            watching.cancel()
            loading.cancel()
        return Observation(posts=load.latencies, arrivals=arrivals, memory=peaks, statuses={})

    async def _follow_mail(self) -> float:
        arrival = self.sink.expect(http_load.FIRST_RECIPIENT)
        done = await http_load.run_load(self.target, seconds=ARRIVAL_SECONDS, most=1, connections=1)
        async with asyncio.timeout(ARRIVAL_SECONDS):
            return await arrival - done.started

    async def _watch_memory(self, peaks: dict[str, int]) -> None:
        while True:
            for name, pid in self.trees.items():
                peaks[name] = max(peaks[name], process_tree.read_pss_bytes(pid))
            await asyncio.sleep(MEMORY_INTERVAL)


@asynccontextmanager
async def _attacked(attack: str, port: int, key: str, admin: str) -> AsyncIterator[Child]:
    async with run_child([*build_module_command("greedy_client"), attack, str(port), key, admin], {}) as attacking:
        await attacking.line()
        yield attacking


def _with_default_limits(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings without rate limits, so that the attacker gets the default ones."""
    return {name: value for name, value in settings.items() if "RATE_PER_MINUTE" not in name}


async def _create_keys(installation: Installation) -> tuple[str, str]:
    """Create a key of another service with all scopes of a service, and an administrator's key."""
    database, now = Database(installation.url), SystemClock().now()
    try:
        async with database.write() as connection:
            service = await service_admin.create_service(connection, "attacker", from_domains=[], now=now)
            key = (await key_admin.insert_key(connection, service, key_admin.NewKey(scopes=SERVICE_SCOPES), now=now))[1]
            return key, (await key_admin.insert_key(connection, None, key_admin.NewKey(scopes=ADMIN_SCOPES), now=now))[
                1
            ]
    finally:
        await database.close()


def _table(observations: Mapping[str, Observation], plan: Plan) -> Table:
    quiet = observations["quiet"]
    figures: list[Figure] = []
    results: dict[str, float] = {}
    for name, seen in observations.items():
        post, mail = (compute_percentile(values, 99) * 1000 for values in (seen.posts, seen.arrivals))
        memory = ", ".join(f"{tree_name} {peak / MEGABYTE:,.0f} MiB" for tree_name, peak in seen.memory.items())
        figures.append(Figure(name, f"POST p99 {post:,.1f} ms, mail p99 {mail:,.0f} ms; {memory}"))
        if name == "quiet":
            continue
        ratios = (
            compute_percentile(seen.posts, 99) / compute_percentile(quiet.posts, 99),
            compute_percentile(seen.arrivals, 99) / compute_percentile(quiet.arrivals, 99),
        )
        answers = ", ".join(f"{count:,} of {status}" for status, count in sorted(seen.statuses.items()))
        figures += [
            Figure(f"  {name} ÷ quiet: POST, mail (goal 10)", f"{ratios[0]:.1f}, {ratios[1]:.1f}", is_headline=True),
            Figure("  the attacker's answers", answers or "none"),
        ]
        results |= {f"neighbour.{name}.post": ratios[0], f"neighbour.{name}.mail": ratios[1]}
    return Table(
        title=f"(l) neighbour: {CONNECTIONS / PAUSE_SECONDS:g} POSTs a second, {plan.seconds:g} s of each attack",
        figures=figures,
        results=results,
    )
