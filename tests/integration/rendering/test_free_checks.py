"""A push checks many templates at once; those that can be published cost their editor nothing."""

from contextlib import aclosing

import pytest
from support.lint_cases import build_lint_source

from notifier.clock import SystemClock
from notifier.rendering import preview_pool
from notifier.rendering.preview_pool import EditorRenderer, EditorSlots, PreviewPool, TooMuchRefusedError


async def test_accepted_checks_of_a_push_are_not_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a budget for accepted work, an editor's second check is refused, but not that of a push."""
    for name in ("FREE_SECONDS", "BURST_SECONDS", "MAX_WAIT_SECONDS"):
        monkeypatch.setattr(preview_pool, name, 0.0)
    source = build_lint_source("<p>Hello</p>")
    async with aclosing(PreviewPool()) as pool:
        slots = EditorSlots(SystemClock(), lambda: pool.cpu_seconds)
        pushing = EditorRenderer(pool, slots, "key:push", charges_accepted=False)
        for _ in range(3):
            assert (await pushing.check(source)).faults == []
        saving = EditorRenderer(pool, slots, "key:save")
        await saving.check(source)
        with pytest.raises(TooMuchRefusedError):
            await saving.check(source)
