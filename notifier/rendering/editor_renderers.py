"""Those who edit, and the child processes that show them what they have: each has their turn."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from notifier.clock import Clock
from notifier.rendering.pool import RenderingPool
from notifier.rendering.preview_pool import PreviewPool
from notifier.rendering.protocol import PreviewedMail, RenderJob, SourceCheck
from notifier.template_language.render_fault import RenderFault
from notifier.template_language.template_source import TemplateSource
from notifier.throttle.editor_slots import EditorSlot, EditorSlots


class EditorRenderers:
    """Everybody who edits, or looks at mails."""

    def __init__(self, pool: PreviewPool, clock: Clock) -> None:
        self._pool = pool
        self._turns = EditorSlots(clock, lambda: pool.cpu_seconds)

    def get_renderer(self, who: str) -> "EditorRenderer":
        """One of them."""
        return EditorRenderer(self._pool, self._turns, who)

    def hold_slot(self, who: str) -> AbstractAsyncContextManager[EditorSlot]:
        """The turn of one of them, for what is more than one step."""
        return self._turns.acquire(who)


class EditorRenderer:
    """A `Renderer` for one person, who waits for their turn. Raises `TooMuchRefusedError`."""

    def __init__(self, pool: PreviewPool, turns: EditorSlots, who: str) -> None:
        self._pool = pool
        self._turns = turns
        self._who = who

    async def preview(self, job: RenderJob, sources: Mapping[str, TemplateSource]) -> PreviewedMail | RenderFault:
        """The mail that the job would be."""
        async with self._hold_slot() as (turn, child):
            shown = await child.preview(job, sources)
            turn.refused = isinstance(shown, RenderFault)
        return shown

    async def check(self, source: TemplateSource) -> SourceCheck:
        """What is to be said about the source."""
        async with self._hold_slot() as (turn, child):
            checked = await child.check(source)
            turn.refused = bool(checked.faults)
        return checked

    @asynccontextmanager
    async def _hold_slot(self) -> AsyncIterator[tuple[EditorSlot, RenderingPool]]:
        """Their turn with a child: one apart while they pay for what was refused, so that nobody else waits for it."""
        async with (
            self._turns.acquire(self._who) as turn,
            self._pool.borrow_child(apart=self._turns.has_debt(self._who)) as child,
        ):
            turn.start(lambda: child.cpu_seconds)
            yield turn, child
