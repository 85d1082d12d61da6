"""The other work of a sender process: webhooks, images and cancelled batches.

Each kind has its own worker and slots, so that it never delays mail.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from notifier.outbox.wakeup import DelayedWakeup, Wakeup
from notifier.runtime.process_parts import ProcessParts
from notifier.status.batch_cancellation import BatchCancellationHandler
from notifier.templating.assets.asset_handler import AssetHandler
from notifier.webhooks.endpoint_client import EndpointClient, HostResolver
from notifier.webhooks.endpoint_secret import SecretBox
from notifier.webhooks.webhook_handler import WebhookHandler

RESOLVING_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class SideWork:
    """The handler of one kind of work, and the wake-up of its worker."""

    handler: WebhookHandler | AssetHandler | BatchCancellationHandler
    wakeup: Wakeup


@contextlib.contextmanager
def open_side_work(parts: ProcessParts) -> Iterator[tuple[SideWork, ...]]:
    """Open the handlers of all side work until the block ends."""
    with _open_webhooks(parts) as webhooks:
        images = SideWork(handler=AssetHandler(parts.database, parts.clock), wakeup=_build_polling_wakeup())
        batches = SideWork(
            handler=BatchCancellationHandler(parts.database, parts.clock), wakeup=_build_polling_wakeup()
        )
        yield webhooks, images, batches


def _build_polling_wakeup() -> Wakeup:
    """Build a wake-up that nothing triggers: the worker of images or batches polls once a second."""
    wakeup = Wakeup()
    wakeup.hears_others = True
    return wakeup


@contextlib.contextmanager
def _open_webhooks(parts: ProcessParts) -> Iterator[SideWork]:
    """Open the webhook handler. Its worker wakes up with the mail worker, which may have caused webhooks."""
    settings, wakeup = parts.settings.webhooks, DelayedWakeup()
    resolver = HostResolver(min(settings.concurrency, RESOLVING_THREADS))
    caller = EndpointClient(resolver, clock=parts.clock, settings=settings)
    parts.wakeup.followers.append(wakeup)
    try:
        box = SecretBox.from_setting(parts.settings.secret_key)
        yield SideWork(
            handler=WebhookHandler(parts.database, caller, box, settings=settings, clock=parts.clock), wakeup=wakeup
        )
    finally:
        parts.wakeup.followers.remove(wakeup)
        resolver.close()
