"""The actions of all kinds of jobs."""

from notifier.email_address import RecipientPolicy, get_default_sender
from notifier.jobs.job_control import JobActions
from notifier.merge.merge_action import MergeAction
from notifier.merge.merge_context import MergeContext
from notifier.merge.row_validation import RowValidator
from notifier.runtime.process_parts import ProcessParts
from notifier.submission.new_notification import ValidationRules
from notifier.templating.assets.image_action import ImageAction
from notifier.templating.version_store import TemplateCache


def build_job_actions(parts: ProcessParts) -> JobActions:
    """Build the action of each kind of job."""
    actions = (ImageAction(parts.database), _build_merge_action(parts))
    return {action.kind: action for action in actions}


def _build_merge_action(parts: ProcessParts) -> MergeAction:
    settings = parts.settings
    policy = RecipientPolicy.from_settings(settings.recipients, settings.smtp)
    rules = ValidationRules.from_settings(settings.api, get_default_sender(settings), policy)
    templates = TemplateCache(parts.database, parts.clock)
    context = MergeContext(parts.database, RowValidator(rules, templates), templates, settings.api)
    parts.exit_stack.push_async_callback(context.files.close)
    return MergeAction(context)
