"""Texts that templates share: kept in the database, changed one revision after the other, copied into each version."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, String, cast, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Template, TemplateDraft, TemplateLayout, TemplateVersion, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.templating import template_limits

LAYOUT_NAME = re.compile(r"_layouts/[a-z][a-z0-9_-]{0,63}\.(html|txt)")
_USED = re.compile(r"""{%[-+]?\s*(?:extends|include|import|from)\s+["'](_layouts/[^"']+)["']""")
_layout = get_columns(TemplateLayout)
_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)


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

    def __init__(self, theirs: LayoutView | None, yours: str | None = None) -> None:
        self.theirs = theirs  # None: it was deleted
        self.yours = yours  # None: nothing was to be saved
        super().__init__()


class LayoutInUseError(NotifierError):
    """Templates use this layout."""


def find_used_layouts(files: Mapping[str, str], read: Callable[[str], str | None]) -> dict[str, str]:
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


def find_named_layouts(files: Mapping[str, str]) -> set[str]:
    """The layouts that the files name, whether there are such or not."""
    return {name for text in files.values() for name in _USED.findall(text)}


async def list_layouts(connection: AsyncConnection) -> list[LayoutView]:
    """All layouts, by name."""
    found = await connection.execute(select(*_layout).order_by(_layout.name))
    return [LayoutView(**row) for row in found.mappings()]


async def get_layout(connection: AsyncConnection, name: str) -> LayoutView | None:
    """The layout as it stands."""
    row = (await connection.execute(select(*_layout).where(_layout.name == name))).mappings().one_or_none()
    return LayoutView(**row) if row else None


async def save_layout(
    connection: AsyncConnection, name: str, text: str, *, seen: int, by: str, now: datetime
) -> LayoutView:
    """Write the text if nobody has since the revision `seen`, 0 for a new one.

    Raises `StaleLayoutError`, `TooManyTemplatesError`.
    """
    row = {"name": name, "text": text, "revision": seen + 1, "updated_by": by, "updated_at": now}
    if seen == 0:  # of two who make it, one is the first
        await template_limits.require_room(connection, TemplateLayout)
        inserting = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(TemplateLayout)
        made = await connection.execute(inserting.values(row).on_conflict_do_nothing().returning(_layout.name))
        written = made.first() is not None
    else:
        changing = update(TemplateLayout).where(_layout.name == name, _layout.revision == seen)
        written = bool((await connection.execute(changing.values(row))).rowcount)
    if not written:
        raise StaleLayoutError(await get_layout(connection, name), text)
    return LayoutView(**row)  # type: ignore[arg-type]


async def delete_layout(connection: AsyncConnection, name: str, *, seen: int | None = None) -> LayoutView:
    """Delete the layout, which versions that have it do not notice.

    Raises `NotFoundError`, `LayoutInUseError`, and `StaleLayoutError` if it is not the revision `seen`.
    """
    query = select(*_layout).where(_layout.name == name).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such layout")
    there = LayoutView(**row)
    if seen is not None and there.revision != seen:
        raise StaleLayoutError(there)
    if users := await list_layout_users(connection, name):
        raise LayoutInUseError(f"it is used by {', '.join(users[:10])}{' and others' if len(users) > 10 else ''}")  # noqa: PLR2004 - enough to know
    await connection.execute(delete(TemplateLayout).where(_layout.name == name))
    return there


async def list_layout_users(connection: AsyncConnection, name: str) -> list[str]:
    """The slugs of the templates that have the layout in their draft or current version: another text changes them.

    Of a draft, one that names it in a comment counts as well.
    """
    shared = {view.name: view.text for view in await list_layouts(connection)}
    also = {one for one, text in shared.items() if name in find_used_layouts({one: text}, shared.get)} | {name}
    texts = cast(_draft.source, String)
    drafted: list[ColumnElement[bool]] = [texts.contains(one, autoescape=True) for one in sorted(also)]
    pinned = _version.source["files"][name].as_string().is_not(None)
    query = (
        select(_template.slug)
        .join(TemplateVersion, (_version.template_id == _template.id) & (_version.number == _template.current_number))
        .where(pinned, _template.deleted_at.is_(None))
    )
    drafts = select(_template.slug).join(TemplateDraft, _draft.template_id == _template.id)
    found = await connection.execute(query.union(drafts.where(or_(*drafted), _template.deleted_at.is_(None))))
    return sorted(found.scalars())
