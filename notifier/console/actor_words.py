"""Who did something, in words, for a page that has read what it shows."""

from collections.abc import Collection

from starlette.requests import Request

from notifier.console.context import get_console
from notifier.lookup.actor_names import get_actor_names


async def name_actors(request: Request, actors: Collection[str | None]) -> dict[str, str]:
    """Name these actors as the timeline of a mail does."""
    async with get_console(request).read_slots.open() as connection:
        return await get_actor_names(connection, actors)
