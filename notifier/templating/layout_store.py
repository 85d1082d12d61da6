"""Layouts, which templates share: saved under optimistic locking, and copied into each version that uses them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db.dialect import build_statement, insert_if_absent
from notifier.db.tables import Template, TemplateDraft, TemplateLayout, TemplateVersion, get_columns
from notifier.errors import Fault, InvalidRequestError, NotFoundError, NotifierError
from notifier.template_language.template_source import LAYOUTS
from notifier.templating import edit_rules
from notifier.templating.edit_rules import EditConflictError, record_layout, require_same_revision
from notifier.templating.validation import MAX_SOURCE_BYTES

MAX_LISTED_USERS = 10
"""Templates that are listed when a layout is in use."""
LAYOUT_NAME = re.compile(r"_layouts/[a-z][a-z0-9_-]{0,63}\.(html|txt)")
_USED = re.compile(r"""{%[-+]?\s*(?:extends|include|import|from)\s+["'](_layouts/[^"']+)["']""")
_CURRENT = """FROM template AS t
JOIN template_version AS v ON v.template_id = t.id AND v.number = t.current_number"""
_PINNED = build_statement(
    f"""SELECT t.slug, f.name {_CURRENT}
CROSS JOIN LATERAL jsonb_object_keys(v.source -> 'files') AS f(name)
WHERE starts_with(f.name, '{LAYOUTS}') AND t.deleted_at IS NULL""",
    f"""SELECT t.slug, f.key AS name {_CURRENT}
CROSS JOIN json_each(v.source, '$.files') AS f
WHERE f.key GLOB '{LAYOUTS}*' AND t.deleted_at IS NULL""",
)
_layout = get_columns(TemplateLayout)
_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)


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


def find_used_layouts(files: Mapping[str, str], read: Callable[[str], str | None]) -> dict[str, str]:
    """Find the layouts that the files name, directly or through other layouts; `read` returns a text, or None."""
    layouts: dict[str, str] = {}
    waiting = list(files.values())
    while waiting:
        for name in _USED.findall(waiting.pop()):
            text = None if name in layouts else read(name)
            if text is not None:
                layouts[name] = text
                waiting.append(text)
    return layouts


def find_named_layouts(files: Mapping[str, str]) -> set[str]:
    """Find the names of layouts in the files, whether they exist or not."""
    return {name for text in files.values() for name in _USED.findall(text)}


async def list_layouts(connection: AsyncConnection) -> list[LayoutView]:
    """List all layouts, by name."""
    rows = await connection.execute(select(*_layout).order_by(_layout.name))
    return [LayoutView(**row) for row in rows.mappings()]


async def get_layout(connection: AsyncConnection, name: str, *, lock: bool = False) -> LayoutView | None:
    """Get the layout; with `lock` for a caller that is about to change it."""
    query = select(*_layout).where(_layout.name == name)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return LayoutView(**row) if row else None


async def save_layout(connection: AsyncConnection, name: str, text: str, *, revision: int, actor: Actor) -> LayoutView:
    """Save the layout if it still has this revision, 0 for a new one.

    Raises `InvalidRequestError`, `StaleLayoutError`, `TooManyTemplatesError`.
    """
    if faults := find_layout_faults(name, text):
        raise InvalidRequestError(faults)
    saved = await write_layout(connection, name, text, revision=revision, actor=actor)
    await record_layout(connection, AuditAction.LAYOUT_SAVED, name, actor, revision=saved.revision)
    return saved


def find_layout_faults(name: str, text: str) -> list[Fault]:
    """Find the faults of the name and the size of a layout."""
    faults = []
    if not LAYOUT_NAME.fullmatch(name):
        faults.append(Fault("", "invalid_slug", "lower-case letters, digits, - and _, and .html or .txt"))
    if len(text.encode()) > MAX_SOURCE_BYTES:
        faults.append(Fault("/text", "too_large", f"a layout has at most {MAX_SOURCE_BYTES} bytes"))
    return faults


async def write_layout(connection: AsyncConnection, name: str, text: str, *, revision: int, actor: Actor) -> LayoutView:
    """Write a layout that is valid, without an audit record. Raises `StaleLayoutError`, `TooManyTemplatesError`."""
    row = {"text": text, "revision": revision + 1, "updated_by": actor.name, "updated_at": actor.at}
    if revision == 0:  # two editors may create it at the same moment
        await edit_rules.require_room(connection, TemplateLayout)
        if not await insert_if_absent(connection, TemplateLayout, row | {"name": name}):
            raise StaleLayoutError(await get_layout(connection, name), text)
    else:
        require_same_revision(StaleLayoutError, await get_layout(connection, name, lock=True), revision, text)
        await connection.execute(update(TemplateLayout).where(_layout.name == name).values(row))
    return LayoutView(name=name, text=text, revision=revision + 1, updated_by=actor.name, updated_at=actor.at)


async def delete_layout(connection: AsyncConnection, name: str, *, revision: int, actor: Actor) -> None:
    """Delete a layout that no template uses; versions that were published with it keep it.

    Raises `NotFoundError`, `LayoutInUseError`, `StaleLayoutError`.
    """
    stored = await get_layout(connection, name, lock=True)
    if stored is None:
        raise NotFoundError("there is no such layout")
    require_same_revision(StaleLayoutError, stored, revision)
    if users := await list_layout_users(connection, name):
        listed = ", ".join(users[:MAX_LISTED_USERS])
        raise LayoutInUseError(f"it is used by {listed}{' and others' if len(users) > MAX_LISTED_USERS else ''}")
    await connection.execute(delete(TemplateLayout).where(_layout.name == name))
    await record_layout(connection, AuditAction.LAYOUT_DELETED, name, actor, revision=stored.revision)


async def list_users_of_layouts(connection: AsyncConnection) -> dict[str, list[str]]:
    """List the slugs of the templates whose draft or current version uses each layout, by its name."""
    shared = {view.name: view.text for view in await list_layouts(connection)}
    users: dict[str, set[str]] = {name: set() for name in shared}
    for row in await connection.execute(_PINNED.for_connection(connection)):
        users.setdefault(row.name, set()).add(row.slug)
    drafts = select(_template.slug, _draft.source["files"].label("files"))
    drafts = drafts.join(TemplateDraft, _draft.template_id == _template.id).where(_template.deleted_at.is_(None))
    for row in await connection.execute(drafts):
        for name in find_used_layouts(row.files, shared.get):
            users[name].add(row.slug)
    return {name: sorted(users[name]) for name in shared}


async def list_layout_users(connection: AsyncConnection, name: str) -> list[str]:
    """List the slugs of the templates whose draft or current version uses the layout, also through other layouts."""
    return (await list_users_of_layouts(connection)).get(name, [])
