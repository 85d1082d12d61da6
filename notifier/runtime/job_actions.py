"""The actions of all kinds of jobs."""

from notifier.jobs.job_control import JobActions
from notifier.runtime.process_parts import ProcessParts
from notifier.templating.assets.image_action import ImageAction


def build_job_actions(parts: ProcessParts) -> JobActions:
    """Build the action of each kind of job."""
    actions = (ImageAction(parts.database),)
    return {action.kind: action for action in actions}
