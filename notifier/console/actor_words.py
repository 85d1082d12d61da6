"""Who did something, in words: the name of a person, of a key, or of a schedule."""

from collections.abc import Collection
from uuid import UUID

from starlette.requests import Request

from notifier.auth import staff_admin
from notifier.console.context import get_console

STAFF = "staff:"
_KINDS = {"key": "an API key", "cli": "the command line", "operator": "the command line", "schedule": "a schedule"}


async def name_actors(request: Request, actors: Collection[str]) -> dict[str, str]:
    """Name these actors for people; one who is not known any more is "somebody"."""
    ids = {actor: _parse_id(actor) for actor in actors if actor.startswith(STAFF)}
    async with get_console(request).read_slots.open() as connection:
        names = await staff_admin.get_staff_names(connection, [id_ for id_ in ids.values() if id_ is not None])
    return {actor: _word_actor(actor, names.get(id_) if (id_ := ids.get(actor)) else None) for actor in actors}


def _word_actor(actor: str, name: str | None) -> str:
    if name is not None:
        return name
    kind, _, rest = actor.partition(":")
    if not rest:
        return actor or "somebody"
    word = _KINDS.get(kind, "somebody")
    return f"{rest} (by command line)" if kind in {"cli", "operator"} else word


def _parse_id(actor: str) -> UUID | None:
    try:
        return UUID(actor.removeprefix(STAFF))
    except ValueError:
        return None
