"""The actions of all kinds of jobs."""

from notifier.email_address import RecipientPolicy, get_default_sender
from notifier.feeds.feed_client import FeedClient
from notifier.feeds.fetch_action import FetchAction
from notifier.jobs.job_control import JobActions
from notifier.merge.merge_action import MergeAction
from notifier.merge.merge_context import MergeContext
from notifier.merge.merge_purge import MergePurge
from notifier.merge.row_validation import RowValidator
from notifier.reports.notify_action import NotifyAction
from notifier.reports.report_action import ReportAction
from notifier.reports.scheduled_mail import ScheduledMailer
from notifier.retention.purge_action import PurgeAction
from notifier.retention.retention_policy import RetentionPolicy
from notifier.runtime.process_parts import ProcessParts
from notifier.statistics.statistics_action import StatisticsAction
from notifier.submission.new_notification import ValidationRules
from notifier.templating.assets.image_action import ImageAction
from notifier.templating.version_store import TemplateCache
from notifier.webhooks.endpoint_secret import SecretBox
from notifier.webhooks.pinned_connection import HostResolver

RESOLVING_THREADS = 4
"""Threads that resolve the hosts of feeds, so that a slow name server holds up nothing else."""


def build_job_actions(parts: ProcessParts) -> JobActions:
    """Build the action of each kind of job."""
    mailer = _build_mailer(parts)
    policy = RetentionPolicy.from_settings(parts.settings.retention, parts.settings.api)
    actions = (
        ImageAction(parts.database),
        PurgeAction(parts.database, policy, more_phases=[MergePurge()]),
        StatisticsAction(parts.database),
        ReportAction(parts.database, mailer),
        NotifyAction(parts.database, mailer),
        _build_fetch_action(parts),
        _build_merge_action(parts),
    )
    return {action.kind: action for action in actions}


def _build_mailer(parts: ProcessParts) -> ScheduledMailer:
    settings = parts.settings
    policy = RecipientPolicy.from_settings(settings.recipients, settings.smtp)
    rules = ValidationRules.from_settings(settings.api, get_default_sender(settings), policy)
    return ScheduledMailer(parts.database, TemplateCache(parts.database, parts.clock), rules, parts.clock)


def _build_fetch_action(parts: ProcessParts) -> FetchAction:
    resolver = HostResolver(RESOLVING_THREADS)  # its threads begin with the first name
    parts.exit_stack.callback(resolver.close)
    box = SecretBox.from_setting(parts.settings.secret_key)
    return FetchAction(parts.database, FeedClient(resolver, parts.settings.feeds), box, parts.clock)


def _build_merge_action(parts: ProcessParts) -> MergeAction:
    settings = parts.settings
    policy = RecipientPolicy.from_settings(settings.recipients, settings.smtp)
    rules = ValidationRules.from_settings(settings.api, get_default_sender(settings), policy)
    templates = TemplateCache(parts.database, parts.clock)
    context = MergeContext(parts.database, RowValidator(rules, templates), templates, settings.api)
    parts.exit_stack.push_async_callback(context.files.close)
    return MergeAction(context)
