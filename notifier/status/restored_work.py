"""Holds what a restored backup would do a second time: mails, job runs, and missed times of schedules.

A backup does not know what happened after it. So each of its mails that was due may have been sent: it gets the status
`unknown`, and waits for a person. Nothing here commits.
"""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor
from notifier.db.dialect import bind_now, build_statement
from notifier.jobs import job_control, job_store, schedule_store
from notifier.jobs.job_control import JobActions
from notifier.jobs.job_store import JobFilter
from notifier.outbox import entry_store
from notifier.states import EntryKind, JobKind, JobState

_KINDS_WITHOUT_MAIL = frozenset({JobKind.IMAGE, JobKind.PURGE, JobKind.STATISTICS, JobKind.FETCH})
"""Kinds of jobs that may run a second time."""
_RUNS_AT_ONCE = 500
_WAS_DUE = "(SELECT n.send_at FROM notification AS n WHERE n.id = e.subject_id) <= {now}"
_HOLD = "UPDATE notification SET when_uncertain = 'hold' WHERE status IN ('queued', 'deferred', 'unknown')"
_HOLD_DUE = build_statement(f"{_HOLD} AND send_at <= coalesce(:now, now())", f"{_HOLD} AND send_at <= :now")


@dataclass(frozen=True, kw_only=True)
class HeldWork:
    """How much was held."""

    mails: int
    runs: int
    schedules: int


async def hold_restored_work(connection: AsyncConnection, actions: JobActions, *, actor: Actor) -> HeldWork:
    """Hold what may have been done since the backup. No sender may run, and none may have run since the restore."""
    runs = await _pause_runs(connection, actions, actor)
    schedules = await _leave_out_missed_times(connection, actor)
    now = bind_now(connection, actor.at)[0]
    await connection.execute(_HOLD_DUE.for_connection(connection), now)
    mails = await entry_store.mark_restored(connection, EntryKind.EMAIL, _WAS_DUE, now=actor.at)
    return HeldWork(mails=mails, runs=runs, schedules=schedules)


async def _pause_runs(connection: AsyncConnection, actions: JobActions, actor: Actor) -> int:
    """Pause the open runs: a step that the backup does not know would write its mails again."""
    paused = 0
    for kind in set(JobKind) - _KINDS_WITHOUT_MAIL:
        for state in (JobState.QUEUED, JobState.RUNNING):
            filters = JobFilter(kind=kind, state=state)
            while runs := await job_store.list_runs(connection, filters, before=None, limit=_RUNS_AT_ONCE):
                for run in runs:
                    await job_control.pause_run(connection, run.id, None, actions, actor=actor)
                paused += len(runs)
    return paused


async def _leave_out_missed_times(connection: AsyncConnection, actor: Actor) -> int:
    """Move the schedules to their next time: the runs of the missed ones may have sent their mails."""
    moved = 0
    for schedule in await schedule_store.list_schedules(connection, None):
        if schedule.enabled and not schedule.built_in and schedule.next_at and schedule.next_at <= actor.at:
            for enabled in (False, True):
                await schedule_store.switch_schedule(
                    connection, schedule.service_id, schedule.name, enabled=enabled, actor=actor
                )
            moved += 1
    return moved
