"""Texts that templates share: kept in the database, changed one revision after the other, copied into each version."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import TemplateLayout, columns
from notifier.errors import NotifierError

NAME = re.compile(r"_layouts/[a-z][a-z0-9_-]{0,63}\.(html|txt)")
_USED = re.compile(r"""{%[-+]?\s*(?:extends|include|import|from)\s+["'](_layouts/[^"']+)["']""")
_layout = columns(TemplateLayout)


@dataclass(frozen=True, kw_only=True)
class LayoutView:
    """A layout as it stands."""

    name: str
    text: str
    revision: int  # from 1
    updated_by: str
    updated_at: datetime


class StaleLayoutError(NotifierError):
    """Somebody else has changed the layout since you looked."""

    def __init__(self, theirs: LayoutView | None) -> None:
        self.theirs = theirs  # None: it was deleted
        super().__init__()


def used(files: Mapping[str, str], read: Callable[[str], str | None]) -> dict[str, str]:
    """The layouts that the files name, and those that these name in turn; what `read` does not know is left out."""
    found: dict[str, str] = {}
    waiting = list(files.values())
    while waiting:
        for name in _USED.findall(waiting.pop()):
            text = None if name in found else read(name)
            if text is not None:
                found[name] = text
                waiting.append(text)
    return found


async def every(connection: AsyncConnection) -> list[LayoutView]:
    """All layouts, by name."""
    found = await connection.execute(select(*_layout).order_by(_layout.name))
    return [LayoutView(**row) for row in found.mappings()]


async def one(connection: AsyncConnection, name: str) -> LayoutView | None:
    """The layout as it stands."""
    row = (await connection.execute(select(*_layout).where(_layout.name == name))).mappings().one_or_none()
    return LayoutView(**row) if row else None


async def save(connection: AsyncConnection, name: str, text: str, *, seen: int, by: str, now: datetime) -> LayoutView:
    """Write the text if nobody has since the revision `seen`, 0 for a new one. Raises `StaleLayoutError`."""
    query = select(*_layout).where(_layout.name == name).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if (row["revision"] if row else 0) != seen:
        raise StaleLayoutError(LayoutView(**row) if row else None)
    values = {"name": name, "text": text, "revision": seen + 1, "updated_by": by, "updated_at": now}
    statement = update(TemplateLayout).where(_layout.name == name) if row else insert(TemplateLayout)
    await connection.execute(statement.values(values))
    return LayoutView(**values)  # type: ignore[arg-type]


async def remove(connection: AsyncConnection, name: str) -> bool:
    """Delete the layout, which versions that have it do not notice; False: there is none."""
    return bool((await connection.execute(delete(TemplateLayout).where(_layout.name == name))).rowcount)
