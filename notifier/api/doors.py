"""What the routes depend on; `notifier.wiring` puts it together."""

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
    """Everything that a route may use."""

    database: Database
    authenticator: Authenticator
    limits: Limits
    submitter: Submitter
    batch_submitter: BatchSubmitter
    previewer: Previewer
    images: Images  # images of mails
    public_files: PublicFiles  # images that are served without a key
    editors: Editors
    publisher: Publisher
    shelf: Shelf  # templates for submits
    gate: Gate
    own_sender: Mailbox  # the instance's own From address
    policy: RecipientPolicy
    clock: Clock
    wake: Callable[[], None]  # tells the sender of this process that something is due
    probes: Probes
    streams: Streams
    batch_watch: BatchWatch
    insecure_hosts: tuple[str, ...] = ()  # hosts of webhook URLs that may use plain HTTP
    secret_box: SecretBox = SecretBox()  # noqa: RUF009 - frozen; encrypts secrets of webhooks


def doors_of(request: Request) -> Doors:
    """Get the dependencies of the application that got this request."""
    dependencies: Doors = request.app.state.doors
    return dependencies


async def _doors(request: Request) -> Doors:
    return doors_of(request)  # asynchronous: FastAPI would run a plain function in a thread


TheDoors = Annotated[Doors, Depends(_doors)]
