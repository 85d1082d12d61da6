"""Editors with real child processes: one editor's hostile drafts do not delay another's preview."""

import asyncio

from support.example_render_job import GOOD, build_source
from support.manual_clock import ManualClock

from notifier.rendering.preview_pool import EditorRenderers, PreviewPool


async def test_who_was_refused_has_a_child_apart() -> None:
    """An editor whose drafts were refused has a separate child and is charged for its work only."""
    pool = PreviewPool()
    editors = EditorRenderers(pool, ManualClock())
    try:
        # A refusal that took little time is a mistake, and costs nothing.
        costly = "{% for a in range(60000) %}{{ loop.index }}{% endfor %}{{ missing }}"
        assert (await editors.get_renderer("mallory").check(build_source(costly))).faults
        async with asyncio.timeout(60), pool.borrow_child(apart=True):
            refused = asyncio.create_task(editors.get_renderer("mallory").check(build_source("{{ missing }}")))
            for _ in range(2):
                assert not (await editors.get_renderer("ada").check(GOOD)).faults
            assert not refused.done()
        assert (await refused).faults
    finally:
        await pool.aclose()
