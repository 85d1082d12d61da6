"""What a sender does beside mail: webhooks, images, and the rest of cancelled batches. Each with its own worker.

Their slots are not those of mail, and no mail waits for them.
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
    """The handler of one kind of work, and the wake of its worker."""

    handler: Teller | AssetMaker | BatchStopper
    wake: Wake


@contextlib.contextmanager
def side_work(parts: Base) -> Iterator[tuple[Beside, ...]]:
    """All of it, for as long as the block lasts."""
    with _teller(parts) as telling:
        stopper = Beside(handler=BatchStopper(parts.database, parts.clock), wake=_seldom())
        yield telling, Beside(handler=AssetMaker(parts.database, parts.clock), wake=_seldom()), stopper


def _seldom() -> Wake:
    """What wakes the mails' worker does not wake this one: images and batches may wait a second for the next look."""
    wake = Wake()
    wake.hinted = True
    return wake


@contextlib.contextmanager
def _teller(parts: Base) -> Iterator[Beside]:
    """The handler of webhooks, and the wake of its worker: what wakes the mails' may have left work for it."""
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
