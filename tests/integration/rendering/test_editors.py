"""Those who edit, with real child processes: one person's hostile drafts do not keep another's preview waiting."""

import asyncio

from parts.example_mail import GOOD, source
from parts.time import HandClock

from notifier.rendering.on_demand import PoolOnDemand
from notifier.templating.editors import Editors


async def test_who_was_refused_has_a_child_apart() -> None:
    """While that one is busy, they wait, and their colleagues do not; what they pay for is their own child's work."""
    pool = PoolOnDemand()
    editors = Editors(pool, HandClock())
    try:
        assert (await editors.of("mallory").check(source("{{ missing }}"))).faults
        async with asyncio.timeout(60), pool.child(apart=True):
            refused = asyncio.create_task(editors.of("mallory").check(source("{{ missing }}")))
            for _ in range(2):
                assert not (await editors.of("ada").check(GOOD)).faults
            assert not refused.done()
        assert (await refused).faults
    finally:
        await pool.aclose()
