"""Durations of claims from the server's log; a sender's own figure includes the wait for its event loop."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench.rig.installation import Installation
from bench.rig.postgres_server import execute_statements
from bench.rig.server_cost import open_other_database

_CLAIM = rb"^%s LOG:  duration: ([0-9.]+) ms  execute [^:]*:\s+WITH\s+due AS MATERIALIZED"


@dataclass
class Durations:
    """Seconds of each claim; empty on a server whose log we cannot read."""

    seconds: list[float] = field(default_factory=list)

    def percentile(self, q: float) -> float:
        """Return the percentile of the durations; NaN if there are none."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * q / 100))] if ordered else float("nan")


async def log_durations(installation: Installation) -> None:
    """Make the server log the duration of each statement, for connections that are made from now on."""
    if installation.log is not None:
        statement = f"ALTER DATABASE {installation.name} SET log_min_duration_statement = 0"
        await execute_statements(open_other_database(installation), statement)


@asynccontextmanager
async def record_claims(installation: Installation, durations: Durations) -> AsyncIterator[None]:
    """Add the claims of the block to the earlier ones."""
    if installation.log is None:
        yield
        return
    start = installation.log.stat().st_size
    yield
    with installation.log.open("rb") as file:
        file.seek(start)
        text = await asyncio.to_thread(file.read)
    pattern = re.compile(_CLAIM % re.escape(installation.name.encode()), re.MULTILINE)
    durations.seconds += [float(match[1]) / 1000 for match in pattern.finditer(text)]
