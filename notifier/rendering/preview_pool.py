"""Render for editors, and for mails that have been slow, with a lower priority than all other work.

There is one child for all editors, and one for editors whose refused previews have used up their CPU budget. An editor
has one request at a time and waits after many refusals, so that a mistake or an attack on the sandbox delays no others.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from notifier.clock import Clock
from notifier.errors import NotifierError
from notifier.rendering.pool import ImageLoader, RenderingPool
from notifier.rendering.protocol import CompareRequest, MailComparison, PreviewedMail, RenderJob, SourceCheck
from notifier.template_language.template_source import RenderFault, TemplateSource

PREVIEW_NICENESS = 15
BURST_SECONDS = 2.0
"""CPU seconds that an editor may spend on refused work before they wait: eight endless loops."""
CPU_SHARE = 0.01
"""The part of a processor that they get from then on: one endless loop every 25 seconds."""
FREE_SECONDS = 0.25
"""CPU seconds of accepted work that are not charged."""
MAX_MISTAKE_SECONDS = 0.1
"""CPU seconds up to which a refusal is not charged: somebody who writes with a live preview makes many mistakes."""
MAX_WAIT_SECONDS = 10.0
"""How long a request waits before it is refused."""


class CpuBudget:
    """The CPU seconds that each has left of `burst`, the seconds that may be wasted at once.

    `share` is the part of a processor that grows back: seconds per second.
    """

    def __init__(self, clock: Clock, *, burst: float, share: float) -> None:
        self._clock = clock
        self._burst = burst
        self._share = share
        self._seconds: dict[Hashable, float] = {}  # seconds, of those below `burst`
        self._updated_at = clock.monotonic()

    def charge(self, who: Hashable, seconds: float) -> bool:
        """Charge wasted seconds; return True if they must wait from now on, and did not have to before."""
        self._grow()
        before = self._seconds.get(who, self._burst)
        self._seconds[who] = before - seconds
        return before >= 0 > before - seconds

    def has_debt(self, who: Hashable) -> bool:
        """Return True while wasted seconds have not grown back yet."""
        return who in self._seconds

    def get_wait(self, who: Hashable) -> float:
        """Return the seconds until they may go on; 0 now."""
        if not self._seconds:
            return 0.0
        self._grow()
        return max(0.0, -self._seconds.get(who, self._burst)) / self._share

    def _grow(self) -> None:
        now = self._clock.monotonic()
        grown = (now - self._updated_at) * self._share
        self._seconds = {who: rest + grown for who, rest in self._seconds.items() if rest + grown < self._burst}
        self._updated_at = now


class TooMuchRefusedError(NotifierError):
    """The editor's earlier requests have used up their CPU budget at the preview process; nothing was tried."""

    def __init__(self, seconds: float) -> None:
        self.retry_after = math.ceil(seconds)
        super().__init__(
            f"your earlier requests were refused too often, or took too long: try again in {self.retry_after} s"
        )


@dataclass(eq=False)
class EditorSlot:
    """The slot of one editor, while they hold it."""

    get_cpu_seconds: Callable[[], float]  # CPU seconds of the child process so far
    began: float | None = None  # their number at the start; None: nothing has been done yet
    refused: bool = False

    def start(self, worked: Callable[[], float] | None = None) -> None:
        """Start to count the time of the child process, or of another one, whose CPU seconds `worked` returns."""
        self.get_cpu_seconds = worked or self.get_cpu_seconds
        self.began = self.get_cpu_seconds()

    def get_wasted_seconds(self) -> float:
        """Return the CPU seconds that were wasted, if the work ends now."""
        seconds = self.get_cpu_seconds() - self.began if self.began is not None else 0.0
        if self.refused:
            return seconds if seconds > MAX_MISTAKE_SECONDS else 0.0
        return max(0.0, seconds - FREE_SECONDS)


@dataclass(eq=False)
class _EditorQueue:
    """The requests of one editor."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    requests: int = 0  # waiting, and the one that holds the slot


class EditorSlots:
    """Gives slots, to each person in the order of their requests."""

    def __init__(
        self,
        clock: Clock,
        worked: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._worked = worked
        self._sleep = sleep
        self._budget = CpuBudget(clock, burst=BURST_SECONDS, share=CPU_SHARE)
        self._queues: dict[str, _EditorQueue] = {}

    def has_debt(self, who: str) -> bool:
        """Return True while their wasted seconds have not grown back yet."""
        return self._budget.has_debt(who)

    @asynccontextmanager
    async def acquire(self, who: str) -> AsyncIterator[EditorSlot]:
        """Wait for the person's slot. Raises `TooMuchRefusedError` after the longest wait."""
        queue = self._queues.setdefault(who, _EditorQueue())
        queue.requests += 1
        try:
            async with queue.lock:
                wait = self._budget.get_wait(who)
                await self._sleep(min(wait, MAX_WAIT_SECONDS))
                if wait > MAX_WAIT_SECONDS:
                    raise TooMuchRefusedError(wait - MAX_WAIT_SECONDS)
                slot = EditorSlot(self._worked)
                try:
                    yield slot
                finally:
                    self._budget.charge(who, slot.get_wasted_seconds())
        finally:
            queue.requests -= 1
            if not queue.requests:
                del self._queues[who]


class PreviewPool:
    """Checks and compares, and lends its children; the owner closes it. `nice`: None is `PREVIEW_NICENESS`."""

    def __init__(
        self, load_images: ImageLoader | None = None, public_url: str | None = None, *, nice: int | None = None
    ) -> None:
        nice = PREVIEW_NICENESS if nice is None else nice
        self._main, self._separate = (
            RenderingPool(nice=nice, load_images=load_images, public_url=public_url) for _ in range(2)
        )
        self._locks = {self._main: asyncio.Lock(), self._separate: asyncio.Lock()}
        self._started: set[RenderingPool] = set()
        self._running = AsyncExitStack()

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds that all requests to the main child have taken so far."""
        return self._main.cpu_seconds

    async def check(self, source: TemplateSource) -> SourceCheck:
        """Compile the source and render its sample."""
        async with self.borrow_child() as pool:
            return await pool.check(source)

    async def compare(self, request: CompareRequest, wall: float) -> list[MailComparison | None]:
        """Compare how mails differ between two versions; raises `ChildLostError`."""
        async with self.borrow_child() as pool:
            return await pool.compare(request, wall)

    async def aclose(self) -> None:
        """End the children, if there are any."""
        await self._running.aclose()

    @asynccontextmanager
    async def borrow_child(self, *, apart: bool = False) -> AsyncIterator[RenderingPool]:
        """Borrow a child as long as the block lasts; it is started if there is none yet."""
        pool = self._separate if apart else self._main
        async with self._locks[pool]:
            if pool not in self._started:
                await self._running.enter_async_context(pool)
                self._started.add(pool)
            yield pool


class EditorRenderers:
    """Renderers for everybody who edits templates or previews mails."""

    def __init__(self, pool: PreviewPool, clock: Clock) -> None:
        self.pool = pool
        self._slots = EditorSlots(clock, lambda: pool.cpu_seconds)

    def get_renderer(self, editor: str, *, charges_accepted: bool = True) -> "EditorRenderer":
        """Get the renderer of one person."""
        return EditorRenderer(self.pool, self._slots, editor, charges_accepted=charges_accepted)

    def hold_slot(self, editor: str) -> AbstractAsyncContextManager[EditorSlot]:
        """Hold the slot of one person, for what takes more than one step. Raises `TooMuchRefusedError`."""
        return self._slots.acquire(editor)


class EditorRenderer:
    """Previews and checks for one person, who waits for their slot. Raises `TooMuchRefusedError`."""

    def __init__(self, pool: PreviewPool, slots: EditorSlots, editor: str, *, charges_accepted: bool = True) -> None:
        self._pool = pool
        self._slots = slots
        self.editor = editor  # the actor
        self._charges_accepted = charges_accepted  # False: for a push, which checks many templates at once

    async def preview(self, job: RenderJob, sources: Mapping[str, TemplateSource]) -> PreviewedMail | RenderFault:
        """Render one mail and show its parts and its bytes."""
        async with self._hold_slot() as (slot, child):
            mail = await child.preview(job, sources)
            slot.refused = isinstance(mail, RenderFault)
        return mail

    async def check(self, source: TemplateSource) -> SourceCheck:
        """Compile the source and render its sample."""
        async with self._hold_slot() as (slot, child):
            source_check = await child.check(source)
            slot.refused = bool(source_check.faults)
            if not slot.refused and not self._charges_accepted:
                slot.began = None
        return source_check

    @asynccontextmanager
    async def _hold_slot(self) -> AsyncIterator[tuple[EditorSlot, RenderingPool]]:
        """Hold the slot and a child: a separate child while the editor has a debt, so that nobody else waits."""
        async with (
            self._slots.acquire(self.editor) as slot,
            self._pool.borrow_child(apart=self._slots.has_debt(self.editor)) as child,
        ):
            slot.start(lambda: child.cpu_seconds)
            yield slot, child
