"""Layouts, which templates share: saved under optimistic locking, and copied into each version that uses them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, String, cast, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Action, Doer
from notifier.db.insertion import insert_if_absent
from notifier.db.tables import Template, TemplateDraft, TemplateLayout, TemplateVersion, columns
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.templating import room
from notifier.templating.deed import record_layout
from notifier.templating.edit_conflict import EditConflictError, require_same_revision
from notifier.templating.form import LARGEST_SOURCE

MAX_LISTED_USERS = 10
"""Templates that are named when a layout is in use."""
NAME = re.compile(r"_layouts/[a-z][a-z0-9_-]{0,63}\.(html|txt)")
_USED = re.compile(r"""{%[-+]?\s*(?:extends|include|import|from)\s+["'](_layouts/[^"']+)["']""")
_layout = columns(TemplateLayout)
_template, _draft, _version = columns(Template), columns(TemplateDraft), columns(TemplateVersion)


@dataclass(frozen=True, kw_only=True)
class LayoutView:
    """A layout."""

    name: str
    text: str
    revision: int  # from 1
    updated_by: str
    updated_at: datetime


class StaleLayoutError(EditConflictError):
    """Somebody has changed the layout since the editor has loaded it."""

    noun = "layout"


class LayoutInUseError(NotifierError):
    """Templates use this layout."""


def used(files: Mapping[str, str], read: Callable[[str], str | None]) -> dict[str, str]:
    """Find the layouts that the files name, and those that these name in turn; `read` gives the text, or None."""
    layouts: dict[str, str] = {}
    waiting = list(files.values())
    while waiting:
        for name in _USED.findall(waiting.pop()):
            text = None if name in layouts else read(name)
            if text is not None:
                layouts[name] = text
                waiting.append(text)
    return layouts


def named(files: Mapping[str, str]) -> set[str]:
    """Find the names of layouts in the files, whether they exist or not."""
    return {name for text in files.values() for name in _USED.findall(text)}


async def every(connection: AsyncConnection) -> list[LayoutView]:
    """List all layouts, by name."""
    rows = await connection.execute(select(*_layout).order_by(_layout.name))
    return [LayoutView(**row) for row in rows.mappings()]


async def one(connection: AsyncConnection, name: str, *, lock: bool = False) -> LayoutView | None:
    """Get the layout; with `lock` for who is about to change it."""
    query = select(*_layout).where(_layout.name == name)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return LayoutView(**row) if row else None


def find_layout_faults(name: str, text: str) -> list[Fault]:
    """Find what is wrong with the name and the size of a layout."""
    faults = []
    if not NAME.fullmatch(name):
        faults.append(Fault("", "invalid_slug", "lower-case letters, digits, - and _, and .html or .txt"))
    if len(text.encode()) > LARGEST_SOURCE:
        faults.append(Fault("/text", "too_large", f"a layout has at most {LARGEST_SOURCE} octets"))
    return faults


async def save(connection: AsyncConnection, name: str, text: str, *, revision: int, actor: Doer) -> LayoutView:
    """Save the layout if it still has this revision, 0 for a new one.

    Raises `InvalidRequestError`, `StaleLayoutError`, `TooManyTemplatesError`.
    """
    if faults := find_layout_faults(name, text):
        raise InvalidRequestError(faults)
    saved = await write_layout(connection, name, text, revision=revision, actor=actor)
    await record_layout(connection, Action.LAYOUT_SAVED, name, actor, revision=saved.revision)
    return saved


async def write_layout(connection: AsyncConnection, name: str, text: str, *, revision: int, actor: Doer) -> LayoutView:
    """Write a layout that is valid, without an audit record. Raises `StaleLayoutError`, `TooManyTemplatesError`."""
    row = {"text": text, "revision": revision + 1, "updated_by": actor.actor, "updated_at": actor.at}
    if revision == 0:  # of two who create it, one is the first
        await room.require_room(connection, TemplateLayout)
        if not await insert_if_absent(connection, TemplateLayout, row | {"name": name}):
            raise StaleLayoutError(await one(connection, name), text)
    else:
        require_same_revision(StaleLayoutError, await one(connection, name, lock=True), revision, text)
        await connection.execute(update(TemplateLayout).where(_layout.name == name).values(row))
    return LayoutView(name=name, text=text, revision=revision + 1, updated_by=actor.actor, updated_at=actor.at)


async def remove(connection: AsyncConnection, name: str, *, revision: int, actor: Doer) -> None:
    """Delete a layout that no template uses; versions that were published with it keep it.

    Raises `NotFoundError`, `LayoutInUseError`, `StaleLayoutError`.
    """
    stored = await one(connection, name, lock=True)
    if stored is None:
        raise NotFoundError("there is no such layout")
    require_same_revision(StaleLayoutError, stored, revision)
    if users := await using(connection, name):
        listed = ", ".join(users[:MAX_LISTED_USERS])
        raise LayoutInUseError(f"it is used by {listed}{' and others' if len(users) > MAX_LISTED_USERS else ''}")
    await connection.execute(delete(TemplateLayout).where(_layout.name == name))
    await record_layout(connection, Action.LAYOUT_DELETED, name, actor, revision=stored.revision)


async def using(connection: AsyncConnection, name: str) -> list[str]:
    """List the slugs of the templates whose draft or current version uses the layout, also through other layouts.

    A draft that only names it in a comment is listed as well.
    """
    shared = {view.name: view.text for view in await every(connection)}
    names = {user for user, text in shared.items() if name in used({user: text}, shared.get)} | {name}
    texts = cast(_draft.source, String)
    in_draft: list[ColumnElement[bool]] = [texts.contains(user, autoescape=True) for user in sorted(names)]
    pinned = _version.source["files"][name].as_string().is_not(None)
    query = (
        select(_template.slug)
        .join(TemplateVersion, (_version.template_id == _template.id) & (_version.number == _template.current_number))
        .where(pinned, _template.deleted_at.is_(None))
    )
    drafts = select(_template.slug).join(TemplateDraft, _draft.template_id == _template.id)
    rows = await connection.execute(query.union(drafts.where(or_(*in_draft), _template.deleted_at.is_(None))))
    return sorted(rows.scalars())
