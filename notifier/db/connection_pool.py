"""How many connections each pool of a process may open to PostgreSQL, and the options of SQLAlchemy's pools."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.pool import AsyncAdaptedQueuePool

POOL_TIMEOUT = 2.0
"""Seconds that a caller waits for a connection while all of a pool are in use."""
_PARTS = 11
_INSPECTION_PARTS, _STAFF_PARTS, _ORDINARY_PARTS = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class ConnectionShares:
    """The connections of one process. They are opened when they are first needed."""

    ordinary: int  # transactions and reads through SQLAlchemy, and in a sender the one that listens
    direct: int  # the statements that run thousands of times a second
    inspection: int  # readiness and metrics
    staff: int  # the console; 0: this process has none


def divide_connections(total: int, *, has_console: bool = True) -> ConnectionShares:
    """Divide the connections of a process among its pools (docs/decisions/connections.md). `total`: at least 6."""
    inspection = max(1, total * _INSPECTION_PARTS // _PARTS)
    staff = max(1, total * _STAFF_PARTS // _PARTS) if has_console else 0
    # One may listen all the time, and to save a schedule takes one for the transaction and one for the template.
    ordinary = max(3, total * _ORDINARY_PARTS // _PARTS)
    direct = total - inspection - staff - ordinary
    return ConnectionShares(ordinary=ordinary, direct=direct, inspection=inspection, staff=staff)


def build_pool_options(size: int) -> dict[str, Any]:
    """Build the options of an engine whose pool never has more than `size` connections."""
    return {
        "poolclass": AsyncAdaptedQueuePool,
        "pool_size": size,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT,
    }
