"""(j) How much hostile editors and callers slow down other callers: the latency of a POST with and without them.

In a loop, templates that never end, grow or attack the sandbox are saved, previewed and sent.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text

from bench.rig import hostile_caller, http_load
from bench.rig.child_process import NOTIFIER, Child, build_module_command, run_child
from bench.rig.http_load import Target
from bench.rig.installation import Installation, Installations, read_sample
from bench.rig.result_table import Figure, Table, compute_percentile, format_median
from bench.rig.smtp_sink import Sink
from notifier.auth import key_admin
from notifier.auth.authenticated_key import ADMIN_SCOPES
from notifier.clock import SystemClock
from notifier.db.engine import Database
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.template_language.variable_schema import build_schema
from notifier.templating import version_store
from notifier.templating.version_store import Publication

ENDLESS = "{% for a in range(n) %}" * 3 + "{% endfor %}" * 3 + "<p>{{ n }}</p>"
CONNECTIONS = 8
PAUSE_SECONDS = 0.1
_PUT_OFF = text("UPDATE outbox_entry SET due_at = due_at + interval '1 day' WHERE state = 'ready'")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to do."""

    rounds: int
    seconds: float  # of each quiet run; a hostile one is twice as long
    settling: float  # seconds until all requests of the attacker have ended
    most: int  # requests in each


async def measure(made: Installations, plan: Plan) -> Table:
    """Run quiet and hostile rounds in turns; the main figure uses all requests, because single runs are short."""
    installation = await made.postgresql()
    admin = await _prepared(installation)
    quiet: list[list[float]] = []
    hostile: list[list[float]] = []
    async with Sink() as sink:
        settings = installation.settings(smtp_port=sink.port)
        async with (
            run_child([NOTIFIER, "api", "--port", "0"], settings) as api,
            run_child([NOTIFIER, "sender"], settings),
        ):
            port = int((await api.line()).rpartition(":")[2])
            target = Target(
                port=port,
                path="/v1/notifications",
                key=installation.key,
                template="welcome",
                variables=read_sample("welcome"),
            )
            await http_load.run_load(target, seconds=plan.seconds, most=min(plan.most, 200), connections=CONNECTIONS)
            async with _enemies(port, admin, installation.key) as enemies:
                for _ in range(plan.rounds):
                    await _peace(installation, plan)
                    quiet.append(await _latencies(target, plan, plan.seconds))
                    hostile.append(await _attacked(enemies, target, plan))
                deeds = await _count(enemies)
    figures = {name: _in_ms(runs) for name, runs in (("quiet", quiet), ("hostile", hostile))}
    ratio = figures["hostile"][99] / figures["quiet"][99]
    return Table(
        title=f"(j) hostile templates: {CONNECTIONS / PAUSE_SECONDS:g} POSTs a second, {plan.rounds} rounds",
        figures=[
            *(
                Figure(f"POST, {name}: p50, p95, p99", f"{', '.join(f'{ms:.1f}' for ms in percentiles.values())} ms")
                for name, percentiles in figures.items()
            ),
            Figure("p99 of each round, hostile ÷ quiet", format_median(_of_rounds(quiet, hostile), "{:.2f}")),
            Figure("p99 of all requests, hostile ÷ quiet (goal 1.2)", f"{ratio:.2f}", is_headline=True),
            Figure("drafts, previews and mails that were hostile", f"{deeds:,}"),
        ],
        results={"hostile.p99": ratio},
    )


async def _latencies(target: Target, plan: Plan, seconds: float) -> list[float]:
    done = await http_load.run_load(
        target, seconds=seconds, most=plan.most, connections=CONNECTIONS, pause=PAUSE_SECONDS
    )
    return done.latencies


def _in_ms(runs: list[list[float]]) -> dict[int, float]:
    together = [latency for run in runs for latency in run]
    return {rank: 1000 * compute_percentile(together, rank) for rank in (50, 95, 99)}


def _of_rounds(quiet: list[list[float]], hostile: list[list[float]]) -> list[float]:
    return [
        compute_percentile(bad, 99) / compute_percentile(good, 99) for good, bad in zip(quiet, hostile, strict=True)
    ]


@asynccontextmanager
async def _enemies(port: int, admin: str, service: str) -> AsyncIterator[Child]:
    """Start the attacker's process and stop it until a hostile round, so that it does not disturb quiet ones."""
    async with run_child([*build_module_command("hostile_caller"), str(port), admin, service], {}) as enemies:
        await enemies.line()  # each loop has had a reply, so everything that starts on demand is running
        os.kill(enemies.pid, signal.SIGSTOP)
        try:
            yield enemies
        finally:
            os.kill(enemies.pid, signal.SIGCONT)


async def _attacked(enemies: Child, target: Target, plan: Plan) -> list[float]:
    os.kill(enemies.pid, signal.SIGCONT)
    try:
        return await _latencies(target, plan, 2 * plan.seconds)
    finally:
        os.kill(enemies.pid, signal.SIGSTOP)


async def _peace(installation: Installation, plan: Plan) -> None:
    """Wait until requests have ended, and postpone waiting mails, which would be tried again and again."""
    await asyncio.sleep(plan.settling)
    database = Database(installation.url)
    try:
        async with database.write() as connection:
            await connection.execute(_PUT_OFF)
    finally:
        await database.close()


async def _count(enemies: Child) -> int:
    """Stop the attacker, and read from its last line how many requests it made."""
    os.kill(enemies.pid, signal.SIGCONT)
    os.kill(enemies.pid, signal.SIGTERM)
    return int(await enemies.line())


async def _prepared(installation: Installation) -> str:
    """Publish a template that some values make endless; return an admin key."""
    source = TemplateSource(
        files=hostile_caller.build_files(ENDLESS), sample={"n": 1}, settings=TemplateSettings(name="Endless")
    )
    checked = SourceCheck(
        faults=[], remarks=[], variables_schema=build_schema(source.sample), subject_paths=[], previews={}
    )
    database, now = Database(installation.url), SystemClock().now()
    try:
        async with database.write() as connection:
            await version_store.write_version(
                connection, hostile_caller.SLUG, source, checked, Publication(by="bench", at=now)
            )
            wish = key_admin.NewKey(scopes=ADMIN_SCOPES)
            return (await key_admin.insert_key(connection, None, wish, now=now))[1]
    finally:
        await database.close()
