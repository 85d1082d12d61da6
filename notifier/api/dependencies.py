"""What the routes are given: the parts behind them, put together by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from notifier.api.rate_limits import RateLimits
from notifier.auth.authenticated_key import Authenticator
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.health.probes import Probes
from notifier.lookup.batch_watch import BatchWatch
from notifier.lookup.content_preview import ContentPreviewer
from notifier.recipient_policy import RecipientPolicy
from notifier.rendering.editor_renderers import EditorRenderers
from notifier.rendering.protocol import Mailbox
from notifier.sse import OpenStreams
from notifier.submission.batch_submitter import BatchSubmitter
from notifier.submission.notification_submitter import NotificationSubmitter
from notifier.template_language.image_functions import ImageStore
from notifier.templating.assets.public_files import PublicFileCache
from notifier.templating.gate.publish_gate import PublishGate
from notifier.templating.publishing import Publisher
from notifier.templating.version_store import TemplateCache
from notifier.webhooks.secret_box import SecretBox


@dataclass(frozen=True, kw_only=True)
class ApiDependencies:
    """Everything that a route may call."""

    database: Database
    authenticator: Authenticator
    rate_limits: RateLimits
    submitter: NotificationSubmitter
    batch_submitter: BatchSubmitter
    previewer: ContentPreviewer
    images: ImageStore  # those that mails show
    public_files: PublicFileCache  # those that anybody may fetch
    editors: EditorRenderers
    publisher: Publisher
    template_cache: TemplateCache  # what a submit finds
    gate: PublishGate
    default_sender: Mailbox  # the instance's From
    recipient_policy: RecipientPolicy
    clock: Clock
    wake_sender: Callable[[], None]  # a hint to the sender of this process that something has become due
    probes: Probes
    streams: OpenStreams
    batch_watch: BatchWatch
    insecure_hosts: tuple[str, ...] = ()  # where a webhook's URL may lead over plain HTTP
    secret_box: SecretBox = SecretBox()  # noqa: RUF009 - frozen; how secrets of webhooks are kept


def get_dependencies(request: Request) -> ApiDependencies:
    """The parts behind the application that got this request."""
    found: ApiDependencies = request.app.state.doors
    return found


async def _get_dependencies(request: Request) -> ApiDependencies:
    return get_dependencies(request)  # asynchronous, or FastAPI would run it in a thread for each request


Dependencies = Annotated[ApiDependencies, Depends(_get_dependencies)]
