"""What a sender does besides mail: webhooks, images and cancelled batches.

Each kind has its own worker and slots, so that no mail waits for it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from notifier.installation import Base
from notifier.notification.stop_batch import BatchStopper
from notifier.outbox.wake import LazyWake, Wake
from notifier.templating.assets.work import AssetMaker
from notifier.webhooks.call import Caller
from notifier.webhooks.deliver import Teller
from notifier.webhooks.resolve import Resolver
from notifier.webhooks.secret_box import SecretBox

RESOLVING_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The handler of one kind of work, and the wake-up of its worker."""

    handler: Teller | AssetMaker | BatchStopper
    wake: Wake


@contextlib.contextmanager
def side_work(parts: Base) -> Iterator[tuple[Beside, ...]]:
    """Open the handlers of all side work until the block ends."""
    with _open_webhooks(parts) as webhooks:
        images = Beside(handler=AssetMaker(parts.database, parts.clock), wake=_build_polling_wake())
        batches = Beside(handler=BatchStopper(parts.database, parts.clock), wake=_build_polling_wake())
        yield webhooks, images, batches


def _build_polling_wake() -> Wake:
    """Build a wake-up that nothing triggers: images and batches may wait a second for the next poll."""
    wake = Wake()
    wake.hinted = True
    return wake


@contextlib.contextmanager
def _open_webhooks(parts: Base) -> Iterator[Beside]:
    """Open the webhook handler. Its worker wakes up with the mail worker, which may have caused webhooks."""
    settings, wake = parts.settings.webhooks, LazyWake()
    resolver = Resolver(min(settings.concurrency, RESOLVING_THREADS))
    caller = Caller(resolver, clock=parts.clock, settings=settings)
    parts.wake.others.append(wake)
    try:
        box = SecretBox.of(parts.settings.secret_key)
        yield Beside(handler=Teller(parts.database, caller, box, settings=settings, clock=parts.clock), wake=wake)
    finally:
        parts.wake.others.remove(wake)
        resolver.close()
