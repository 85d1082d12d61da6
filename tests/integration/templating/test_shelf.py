"""Versions within reach of a submit: a newly published one counts within a second."""

from integration.api.clock import ForwardClock
from integration.templating.test_store import publish, source

from notifier import wiring
from notifier.templating.store import Shelf


async def test_a_version_is_remembered_for_a_second(parts: wiring.Base) -> None:
    """Until then a submit may still get the version before; a number always names the same version."""
    clock = ForwardClock()
    shelf = Shelf(parts.database, clock)
    assert await shelf.version("hi") is None
    first = await publish(parts, source())
    assert await shelf.version("hi") == first
    second = await publish(parts, source("Hello"))
    assert await shelf.version("hi") in (first, second)
    clock.seconds += 1
    assert await shelf.version("hi") == second
    assert await shelf.version("hi", 1) == first
    assert await shelf.version("hi", 3) is None
