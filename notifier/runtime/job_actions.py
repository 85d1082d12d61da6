"""The actions of all kinds of jobs."""

from notifier.feeds.feed_client import FeedClient
from notifier.feeds.fetch_action import FetchAction
from notifier.jobs.job_control import JobActions
from notifier.runtime.process_parts import ProcessParts
from notifier.templating.assets.image_action import ImageAction
from notifier.webhooks.endpoint_secret import SecretBox
from notifier.webhooks.pinned_connection import HostResolver

RESOLVING_THREADS = 4
"""Threads that resolve the hosts of feeds, so that a slow name server holds up nothing else."""


def build_job_actions(parts: ProcessParts) -> JobActions:
    """Build the action of each kind of job."""
    actions = (ImageAction(parts.database), _build_fetch_action(parts))
    return {action.kind: action for action in actions}


def _build_fetch_action(parts: ProcessParts) -> FetchAction:
    resolver = HostResolver(RESOLVING_THREADS)  # its threads begin with the first name
    parts.exit_stack.callback(resolver.close)
    box = SecretBox.from_setting(parts.settings.secret_key)
    return FetchAction(parts.database, FeedClient(resolver, parts.settings.feeds), box, parts.clock)
