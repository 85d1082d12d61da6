"""One step of a purge: what it gets, what it answers, and how it reads a page of rows.

A step walks ids from where the step before it ended. Ids carry their time, so a step never reads what was deleted
before it, and the last step is as fast as the first.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import DialectStatement
from notifier.ids import get_first_id
from notifier.retention.retention_policy import CLOCK_MARGIN, RetentionPolicy

FIRST_ID = UUID(int=0)


@dataclass(frozen=True, kw_only=True)
class PurgeStep:
    """What a step works on."""

    now: datetime
    policy: RetentionPolicy
    after: str | None  # where the step before it ended; None: at the beginning of the phase
    limit: int  # rows that it may examine, and about as many that it may delete

    @property
    def after_id(self) -> UUID:
        """The id after which it begins."""
        return UUID(self.after) if self.after else FIRST_ID

    def get_last_id(self, kept: timedelta) -> UUID:
        """Get the id before which rows may be older than `kept`; a host whose clock is ahead made later ids."""
        return get_first_id(self.now - kept + CLOCK_MARGIN)


@dataclass(frozen=True, kw_only=True)
class PurgeProgress:
    """What a step did."""

    after: str | None  # where the next step begins; None: the phase is over
    counts: Mapping[str, int] = field(default_factory=dict)  # rows by kind


class PurgePhase(ABC):
    """One kind of rows."""

    name: ClassVar[str]

    async def prepare(self, step: PurgeStep) -> Any:  # noqa: ARG002 - most have nothing slow
        """Do the slow reading of a step, without a transaction."""
        return None

    @abstractmethod
    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:
        """Do the step in this transaction."""


def get_end(step: PurgeStep, page: list[dict[str, Any]]) -> str | None:
    """Get where the next step begins after all rows of a page; None: there are no more."""
    return page[-1]["id"].hex if len(page) >= step.limit else None


async def read_page(
    connection: AsyncConnection, statement: DialectStatement, step: PurgeStep, until: UUID
) -> list[dict[str, Any]]:
    """Run a statement with `:after`, `:until` and `:limit`, and return its rows."""
    values = {"after": step.after_id, "until": until, "limit": step.limit}
    rows = await connection.execute(statement.for_connection(connection), values)
    return [dict(row) for row in rows.mappings()]
