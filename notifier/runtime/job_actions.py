"""The actions of all kinds of jobs."""

from notifier.jobs.job_control import JobActions
from notifier.retention.purge_action import PurgeAction
from notifier.retention.retention_policy import RetentionPolicy
from notifier.runtime.process_parts import ProcessParts
from notifier.templating.assets.image_action import ImageAction


def build_job_actions(parts: ProcessParts) -> JobActions:
    """Build the action of each kind of job."""
    policy = RetentionPolicy.from_settings(parts.settings.retention, parts.settings.api)
    actions = (ImageAction(parts.database), PurgeAction(parts.database, policy))
    return {action.kind: action for action in actions}
