"""What the routes are given: the parts behind them, put together by the composition root."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from notifier.api.limits import Limits
from notifier.auth.keys import Authenticator
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.health.probes import Probes
from notifier.notification.batch_watch import BatchWatch
from notifier.notification.preview import Previewer
from notifier.notification.recipients import RecipientPolicy
from notifier.notification.submit import Submitter
from notifier.notification.submit_batch import BatchSubmitter
from notifier.rendering.images import Images
from notifier.rendering.job import Mailbox
from notifier.sse import Streams
from notifier.templating.assets.public_files import PublicFiles
from notifier.templating.editors import Editors
from notifier.templating.gate.gate import Gate
from notifier.templating.publish import Publisher
from notifier.templating.store import Shelf
from notifier.webhooks.secret_box import SecretBox


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Everything that a route may call."""

    database: Database
    authenticator: Authenticator
    limits: Limits
    submitter: Submitter
    batch_submitter: BatchSubmitter
    previewer: Previewer
    images: Images  # those that mails show
    public_files: PublicFiles  # those that anybody may fetch
    editors: Editors
    publisher: Publisher
    shelf: Shelf  # what a submit finds
    gate: Gate
    own_sender: Mailbox  # the instance's From
    policy: RecipientPolicy
    clock: Clock
    wake: Callable[[], None]  # a hint to the sender of this process that something has become due
    probes: Probes
    streams: Streams
    batch_watch: BatchWatch
    insecure_hosts: tuple[str, ...] = ()  # where a webhook's URL may lead over plain HTTP
    secret_box: SecretBox = SecretBox()  # noqa: RUF009 - frozen; how secrets of webhooks are kept


def doors_of(request: Request) -> Doors:
    """The parts behind the application that got this request."""
    found: Doors = request.app.state.doors
    return found


async def _doors(request: Request) -> Doors:
    return doors_of(request)  # asynchronous, or FastAPI would run it in a thread for each request


TheDoors = Annotated[Doors, Depends(_doors)]
