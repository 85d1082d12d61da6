"""The template cache of submit: a new version is used within a second."""

from integration.api.clock import ForwardClock
from integration.templating.test_version_store import publish, source

from notifier.runtime import wiring
from notifier.templating.version_store import TemplateCache


async def test_a_version_is_remembered_for_a_second(parts: wiring.ProcessParts) -> None:
    """The current version is cached for one second; a numbered version never changes."""
    clock = ForwardClock()
    shelf = TemplateCache(parts.database, clock)
    assert await shelf.get_version("hi") is None
    first = await publish(parts, source())
    assert await shelf.get_version("hi") == first
    second = await publish(parts, source("Hello"))
    assert await shelf.get_version("hi") in (first, second)
    clock.seconds += 1
    assert await shelf.get_version("hi") == second
    assert await shelf.get_version("hi", 1) == first
    assert await shelf.get_version("hi", 3) is None
