"""What the routes depend on; `notifier.runtime.wiring` puts it together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.api.rate_limits import RateLimits
from notifier.auth.authenticator import Authenticator
from notifier.clock import Clock
from notifier.db.database_errors import convert_database_errors
from notifier.db.engine import Database
from notifier.email_address import RecipientPolicy
from notifier.health.probes import Probes
from notifier.lookup.batch_progress import BatchWatch
from notifier.lookup.content_preview import ContentPreviewer
from notifier.mail.mail_parts import Mailbox
from notifier.rendering.preview_pool import EditorRenderers
from notifier.sse import OpenStreams
from notifier.submission.batch_submitter import BatchSubmitter
from notifier.submission.notification_submitter import NotificationSubmitter
from notifier.templating.assets.image_cache import InlineImageCache, PublicFileCache
from notifier.templating.publish_gate import PublishGate
from notifier.templating.publishing import Publisher
from notifier.templating.version_store import TemplateCache
from notifier.webhooks.endpoint_secret import SecretBox

MAX_CHANGE_SECONDS = 2.5
"""Time limit of a change. The driver needs two seconds more to leave a hanging server: 503 comes within five."""


@dataclass(frozen=True, kw_only=True)
class ApiDependencies:
    """Everything that a route may use."""

    database: Database
    authenticator: Authenticator
    rate_limits: RateLimits
    submitter: NotificationSubmitter
    batch_submitter: BatchSubmitter
    previewer: ContentPreviewer
    images: InlineImageCache  # images of mails
    public_files: PublicFileCache  # images that are served without a key
    editors: EditorRenderers
    publisher: Publisher
    template_cache: TemplateCache  # templates for submits
    gate: PublishGate
    default_sender: Mailbox  # the instance's own From address
    recipient_policy: RecipientPolicy
    clock: Clock
    wake_sender: Callable[[], None]  # tells the sender of this process that something is due
    probes: Probes
    streams: OpenStreams
    batch_watch: BatchWatch
    insecure_hosts: tuple[str, ...] = ()  # hosts of webhook URLs that may use plain HTTP
    secret_box: SecretBox = SecretBox()  # noqa: RUF009 - frozen; encrypts secrets of webhooks


def get_dependencies(request: Request) -> ApiDependencies:
    """Get the dependencies of the application that got this request."""
    dependencies: ApiDependencies = request.app.state.dependencies
    return dependencies


async def _get_dependencies(request: Request) -> ApiDependencies:
    return get_dependencies(request)  # asynchronous: FastAPI would run a plain function in a thread


Dependencies = Annotated[ApiDependencies, Depends(_get_dependencies)]


@asynccontextmanager
async def open_change_transaction(dependencies: ApiDependencies) -> AsyncIterator[AsyncConnection]:
    """Open a transaction with a time limit; after the commit the sender of this process is woken."""
    with convert_database_errors():
        async with asyncio.timeout(MAX_CHANGE_SECONDS), dependencies.database.write() as connection:
            yield connection
    dependencies.wake_sender()
