"""Deletes merges that ended, or were never started, long enough ago: the file, its addresses and faults, the row."""

from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.merge import merge_store
from notifier.retention.purge_step import PurgePhase, PurgeProgress, PurgeStep


class MergePurge(PurgePhase):
    """Deletes merges. They have addresses and values of people, so they are kept as long as content is."""

    name = "merges"

    async def apply(self, connection: AsyncConnection, step: PurgeStep, prepared: Any) -> PurgeProgress:  # noqa: ARG002 - nothing is prepared
        """Delete some rows of one merge."""
        kept = timedelta(days=step.policy.settings.content_days)
        has_more = await merge_store.purge_merge(connection, step.now - kept)
        return PurgeProgress(after="more" if has_more else None, counts={"merge_steps": int(has_more)})
