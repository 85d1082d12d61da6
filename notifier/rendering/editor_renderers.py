"""A renderer for each person who edits: their slot, a preview child, and the CPU budget for what was refused."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from notifier.clock import Clock
from notifier.rendering.pool import RenderingPool
from notifier.rendering.preview_pool import PreviewPool
from notifier.rendering.protocol import PreviewedMail, RenderJob, SourceCheck
from notifier.template_language.template_source import RenderFault, TemplateSource
from notifier.throttle.editor_slots import EditorSlot, EditorSlots


class EditorRenderers:
    """Renderers for everybody who edits templates or previews mails."""

    def __init__(self, pool: PreviewPool, clock: Clock) -> None:
        self._pool = pool
        self._slots = EditorSlots(clock, lambda: pool.cpu_seconds)

    def get_renderer(self, editor: str) -> "EditorRenderer":
        """Get the renderer of one person."""
        return EditorRenderer(self._pool, self._slots, editor)

    def hold_slot(self, editor: str) -> AbstractAsyncContextManager[EditorSlot]:
        """Hold the slot of one person, for what takes more than one step. Raises `TooMuchRefusedError`."""
        return self._slots.acquire(editor)


class EditorRenderer:
    """Previews and checks for one person, who waits for their slot. Raises `TooMuchRefusedError`."""

    def __init__(self, pool: PreviewPool, slots: EditorSlots, editor: str) -> None:
        self._pool = pool
        self._slots = slots
        self._editor = editor

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
        return source_check

    @asynccontextmanager
    async def _hold_slot(self) -> AsyncIterator[tuple[EditorSlot, RenderingPool]]:
        """The slot with a child: a separate child while they pay for what was refused, so that nobody else waits."""
        async with (
            self._slots.acquire(self._editor) as slot,
            self._pool.borrow_child(apart=self._slots.has_debt(self._editor)) as child,
        ):
            slot.start(lambda: child.cpu_seconds)
            yield slot, child
