"""What a sender does beside mail: webhooks, images, and the rest of cancelled batches. Each with its own worker.

Their slots are not those of mail, and no mail waits for them.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from notifier.outbox.wakeup import DelayedWakeup, Wakeup
from notifier.runtime.process_parts import ProcessParts
from notifier.status.batch_cancellation_handler import BatchCancellationHandler
from notifier.templating.assets.asset_handler import AssetHandler
from notifier.webhooks.endpoint_client import EndpointClient
from notifier.webhooks.handler import WebhookHandler
from notifier.webhooks.resolver import HostResolver
from notifier.webhooks.secret_box import SecretBox

RESOLVING_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class SideWork:
    """The handler of one kind of work, and the wake of its worker."""

    handler: WebhookHandler | AssetHandler | BatchCancellationHandler
    wakeup: Wakeup


@contextlib.contextmanager
def open_side_work(parts: ProcessParts) -> Iterator[tuple[SideWork, ...]]:
    """All of it, for as long as the block lasts."""
    with _teller(parts) as telling:
        stopper = SideWork(handler=BatchCancellationHandler(parts.database, parts.clock), wakeup=_seldom())
        yield telling, SideWork(handler=AssetHandler(parts.database, parts.clock), wakeup=_seldom()), stopper


def _seldom() -> Wakeup:
    """What wakes the mails' worker does not wake this one: images and batches may wait a second for the next look."""
    wake = Wakeup()
    wake.hears_others = True
    return wake


@contextlib.contextmanager
def _teller(parts: ProcessParts) -> Iterator[SideWork]:
    """The handler of webhooks, and the wake of its worker: what wakes the mails' may have left work for it."""
    settings, wake = parts.settings.webhooks, DelayedWakeup()
    resolver = HostResolver(min(settings.concurrency, RESOLVING_THREADS))
    caller = EndpointClient(resolver, clock=parts.clock, settings=settings)
    parts.wakeup.followers.append(wake)
    try:
        box = SecretBox.from_setting(parts.settings.secret_key)
        yield SideWork(
            handler=WebhookHandler(parts.database, caller, box, settings=settings, clock=parts.clock), wakeup=wake
        )
    finally:
        parts.wakeup.followers.remove(wake)
        resolver.close()
