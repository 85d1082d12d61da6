"""The states of a job run and of a mail merge, and how a schedule treats missed times and overlaps."""

from enum import StrEnum

from notifier.states import JobState


class CatchUp(StrEnum):
    """Which of the times that a schedule missed, because no sender ran, get a run."""

    ONE = "one"  # the last one
    ALL = "all"
    NONE = "none"


class Overlap(StrEnum):
    """What a schedule does at a time at which its last run has not ended."""

    SKIP = "skip"  # leaves this time out
    QUEUE = "queue"  # begins after it


class SkipReason(StrEnum):
    """Which rule of a schedule has left a time out."""

    CATCH_UP = "catch_up"  # no sender ran at this time
    OVERLAP = "overlap"  # the last run had not ended


class MergeState(StrEnum):
    """The state of a mail merge."""

    UPLOADING = "uploading"
    CHECKING = "checking"
    CHECKED = "checked"  # it can be started
    RUNNING = "running"  # its rows are submitted; then until the last of its mails has left the queue
    PAUSED = "paused"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED_JOB_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
OPEN_JOB_STATES = frozenset(set(JobState) - ENDED_JOB_STATES)
JOB_TRANSITIONS: tuple[tuple[JobState, JobState, str], ...] = (
    (JobState.QUEUED, JobState.RUNNING, "the first step has been committed"),
    (JobState.QUEUED, JobState.SUCCEEDED, "one step was enough"),
    (JobState.QUEUED, JobState.FAILED, "its first step failed, or killed its senders"),
    (JobState.QUEUED, JobState.PAUSED, "pause"),
    (JobState.QUEUED, JobState.CANCELLED, "cancel"),
    (JobState.RUNNING, JobState.RUNNING, "another step has been committed"),
    (JobState.RUNNING, JobState.SUCCEEDED, "the last step has been committed"),
    (JobState.RUNNING, JobState.FAILED, "a step failed, or killed its senders"),
    (JobState.RUNNING, JobState.PAUSED, "pause: after the step under way"),
    (JobState.RUNNING, JobState.CANCELLED, "cancel: after the step under way"),
    (JobState.PAUSED, JobState.QUEUED, "resume: it continues at its cursor"),
    (JobState.PAUSED, JobState.CANCELLED, "cancel"),
    (JobState.FAILED, JobState.QUEUED, "retry: it continues at its cursor"),
)


def get_source_states(target: JobState) -> frozenset[JobState]:
    """Return the states of a job run that may change to `target`."""
    return frozenset(source for source, to, _ in JOB_TRANSITIONS if to == target)
