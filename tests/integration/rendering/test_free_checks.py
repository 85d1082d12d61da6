"""A push checks many templates at once; those that can be published cost their editor nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.folder_and_database import InProcess
from support.lint_cases import build_lint_source

from notifier.clock import SystemClock
from notifier.rendering.pool import RenderingPool
from notifier.rendering.preview_pool import EditorRenderer, EditorSlots, PreviewPool, TooMuchRefusedError
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import TemplateSource


class _SlowChild(InProcess):
    """A child that counts three seconds of a processor for each check."""

    seconds = 0.0

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds so far."""
        return self.seconds

    async def check(self, source: TemplateSource) -> SourceCheck:
        """Return the report."""
        self.seconds += 3
        return await super().check(source)


class _SlowPool(PreviewPool):
    """Lends that child."""

    @asynccontextmanager
    async def borrow_child(self, *, apart: bool = False) -> AsyncIterator[RenderingPool]:
        """Lend it."""
        yield _SlowChild()


async def _do_not_wait(_seconds: float) -> None:
    """Return at once."""


async def test_accepted_checks_of_a_push_are_not_charged() -> None:
    """An editor who saves slow templates has to wait after a while; a push of such templates has not."""
    source, pool = build_lint_source("<p>Hello</p>"), _SlowPool()
    slots = EditorSlots(SystemClock(), lambda: 0.0, sleep=_do_not_wait)
    pushing = EditorRenderer(pool, slots, "key:push", charges_accepted=False)
    for _ in range(5):
        assert (await pushing.check(source)).faults == []
    saving = EditorRenderer(pool, slots, "key:save")
    await saving.check(source)
    with pytest.raises(TooMuchRefusedError):
        await saving.check(source)
