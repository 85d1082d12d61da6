"""A real API process that accepts mails over HTTP: what a mail costs in the API and the database."""

from dataclasses import dataclass

import asyncpg

from bench.rig import http_load, server_cost
from bench.rig.child_process import build_module_command, run_child
from bench.rig.http_load import CONNECTIONS, Target
from bench.rig.installation import Installation, read_sample
from bench.rig.server_cost import Cost

SINGLE, BATCH = "/v1/notifications", "/v1/notifications/batch"
BATCH_CONNECTIONS = 4
MAX_SECONDS = 600.0
_CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'"


@dataclass(frozen=True, kw_only=True)
class SubmissionRun:
    """So many mails, accepted."""

    mails: int
    per_second: float
    server: Cost
    api: float  # CPU seconds of the API process
    statements: float  # for each mail, from a load of its own
    connections: int  # to the database


async def run_submission(installation: Installation, template: str, *, mails: int, items: int) -> SubmissionRun:
    """Submit in requests of `items` mails. Raises `AssertionError` if a mail that was accepted is not there."""
    connections = CONNECTIONS if items == 1 else BATCH_CONNECTIONS
    requests = mails // items
    warm_up = min(requests, max(connections, requests // 10))
    async with run_child(build_module_command("measured_api"), installation.settings()) as api:
        target = Target(
            port=int(await api.line()),
            path=SINGLE if items == 1 else BATCH,
            key=installation.key,
            template=template,
            variables=read_sample(template),
            items=None if items == 1 else items,
        )
        await http_load.run_load(target, seconds=MAX_SECONDS, most=warm_up, connections=connections)
        async with server_cost.count_statements(installation) as counted:
            await http_load.run_load(target, seconds=MAX_SECONDS, most=warm_up, connections=connections)
        before, cpu = await server_cost.read_cost(installation, waits=False), api.cpu_seconds()
        load = await http_load.run_load(target, seconds=MAX_SECONDS, most=requests, connections=connections)
        cpu = api.cpu_seconds() - cpu
        connected = await _count_connections(installation)
    spent = await server_cost.read_cost(installation) - before
    accepted = items * (2 * warm_up + len(load.latencies))
    rows = await installation.count()
    if rows != accepted:
        raise AssertionError(f"{accepted} mails were answered 202, and {rows} are there")
    return SubmissionRun(
        mails=items * len(load.latencies),
        per_second=items * load.per_second,
        server=spent,
        api=cpu,
        statements=counted.count / (items * warm_up),
        connections=connected,
    )


async def _count_connections(installation: Installation) -> int:
    connection = await asyncpg.connect(server_cost.open_other_database(installation))
    try:
        return int(await connection.fetchval(_CONNECTED, installation.name))
    finally:
        await connection.close()
