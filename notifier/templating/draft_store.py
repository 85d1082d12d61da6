"""Drafts: at most one for each template, saved under optimistic locking.

A draft has the template's own parts; layouts and images are added when it is previewed or published.
"""

from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db.engine import Database
from notifier.db.insertion import insert_if_absent
from notifier.db.tables import Template, TemplateDraft, TemplateVersion, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.mail.mail_parts import find_image_names
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import layout_store, template_limits, template_queries, validation
from notifier.templating.assets import asset_store
from notifier.templating.audit_records import record_template
from notifier.templating.edit_conflict import EditConflictError, require_same_revision
from notifier.templating.source_preview import SourceChecker

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)


@dataclass(frozen=True, kw_only=True)
class DraftView:
    """What an editor gets for a slug: the draft, or the current version if there is none."""

    template_id: UUID | None = None  # None: nothing was ever saved under this slug
    slug: str
    source: TemplateSource | None = None  # own parts only; None: as above
    number: int = 0  # of the current version; 0: nothing is published
    saves: int = 0  # how often the draft was saved; 0: there is none
    base_number: int | None = None  # the version that the draft was made from
    updated_by: str | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def has_draft(self) -> bool:
        """Whether there is a draft; if not, this is the current version."""
        return self.saves > 0

    @property
    def revision(self) -> str:
        """What names this very state: every save and every publish changes it.

        The time distinguishes a draft from a discarded one that was saved as often.
        """
        if not self.saves or self.updated_at is None:
            return f"{self.number}.{self.saves}"
        return f"{self.number}.{self.saves}.{(self.updated_at - _EPOCH) // timedelta(microseconds=1):x}"


class StaleDraftError(EditConflictError):
    """Somebody has saved or published since the editor has loaded the draft."""

    noun = "draft"


class TemplateDeletedError(NotifierError):
    """The template is deleted: restore it first."""


async def get_draft(connection: AsyncConnection, slug: str, *, lock: bool = False) -> DraftView:
    """Get the draft, or the current version; with `lock` for who is about to change it."""
    query = select(_template.id, _template.current_number, _template.deleted_at).where(_template.slug == slug)
    template = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if template is None:
        return DraftView(slug=slug)
    view = DraftView(
        template_id=template.id,
        slug=slug,
        number=template.current_number or 0,
        base_number=template.current_number,
        deleted_at=template.deleted_at,
    )
    draft = (await connection.execute(select(*_draft).where(_draft.template_id == template.id))).one_or_none()
    if draft is not None:
        return dataclass_replace(
            view,
            source=msgspec.convert(draft.source, TemplateSource),
            saves=draft.revision,
            base_number=draft.base_number,
            updated_by=draft.updated_by,
            updated_at=draft.updated_at,
        )
    current = select(_version.source, _version.published_by, _version.published_at).where(
        _version.template_id == template.id, _version.number == template.current_number
    )
    version = (await connection.execute(current)).one_or_none()
    if version is None:
        return view
    source = select_own_parts(msgspec.convert(version.source, TemplateSource))
    return dataclass_replace(view, source=source, updated_by=version.published_by, updated_at=version.published_at)


def require_revision(stored: DraftView, revision: str, yours: TemplateSource | None = None) -> None:
    """Raise `TemplateDeletedError`, or `StaleDraftError` unless this is the revision; "" is as "0.0"."""
    if stored.deleted_at is not None:
        raise TemplateDeletedError
    require_same_revision(StaleDraftError, stored, revision or "0.0", yours)


def is_repeated_save(stored: DraftView, source: TemplateSource, by: str) -> bool:
    """Whether the same editor has just saved the same: the reply to that may have been lost."""
    return stored.has_draft and stored.updated_by == by and stored.source == select_own_parts(source)


async def check_draft(
    database: Database, checker: SourceChecker, slug: str, source: TemplateSource, *, revision: str, by: str
) -> SourceCheck:
    """Check a draft before it is saved; no connection is held while it is rendered.

    Raises `InvalidRequestError`, `StaleDraftError`, `TemplateDeletedError`.
    """
    validation.require_valid_source(slug, source)
    async with database.read() as connection:
        stored = await get_draft(connection, slug)
        if not is_repeated_save(stored, source, by):
            require_revision(stored, revision, source)
        whole = await assemble_source(connection, source, slug)
    checked = await checker.check(whole)
    validation.require_renderable(checked)
    return checked


async def save_draft(
    connection: AsyncConnection, slug: str, source: TemplateSource, *, revision: str, actor: Actor
) -> DraftView:
    """Save the source as the draft if it still has this revision; what the same editor has just saved is no conflict.

    Raises `StaleDraftError`, `TemplateDeletedError`, `TooManyTemplatesError`.
    """
    stored = await get_draft(connection, slug, lock=True)
    if stored.template_id is None:
        await template_limits.require_room(connection, Template)
        await insert_if_absent(connection, Template, {"id": generate_id(), "slug": slug, "created_at": actor.at})
        stored = await get_draft(connection, slug, lock=True)  # somebody else may have been first
    if is_repeated_save(stored, source, actor.name):
        actor.record_no_change()
        return stored
    require_revision(stored, revision, source)
    assert stored.template_id is not None
    own_parts = select_own_parts(source)
    row: dict[str, Any] = {
        "source": msgspec.to_builtins(own_parts),
        "revision": stored.saves + 1,
        "base_number": stored.number or None,
        "updated_by": actor.name,
        "updated_at": actor.at,
    }
    if stored.has_draft:
        await connection.execute(update(TemplateDraft).where(_draft.template_id == stored.template_id).values(row))
    else:
        await connection.execute(insert(TemplateDraft).values(row | {"template_id": stored.template_id}))
    await record_template(
        connection, AuditAction.TEMPLATE_SAVED, (stored.template_id, slug), actor, revision=stored.saves + 1
    )
    return dataclass_replace(
        stored,
        source=own_parts,
        saves=stored.saves + 1,
        base_number=stored.number or None,
        updated_by=actor.name,
        updated_at=actor.at,
    )


async def discard_draft(connection: AsyncConnection, slug: str, *, revision: str, actor: Actor) -> None:
    """Delete the draft. Raises `NotFoundError`, `StaleDraftError`, `TemplateDeletedError`."""
    stored = await get_draft(connection, slug, lock=True)
    if stored.template_id is None or not stored.has_draft:
        raise NotFoundError(f"{slug} has no draft")
    require_revision(stored, revision)
    await connection.execute(delete(TemplateDraft).where(_draft.template_id == stored.template_id))
    await record_template(
        connection, AuditAction.TEMPLATE_DISCARDED, (stored.template_id, slug), actor, revision=stored.saves
    )


def select_own_parts(source: TemplateSource) -> TemplateSource:
    """Return the source without the layouts and images that it shares with other templates."""
    parts = {name: text for name, text in source.files.items() if not name.startswith(LAYOUTS)}
    return replace(source, files=parts, assets={})


async def assemble_source(
    connection: AsyncConnection, source: TemplateSource, slug: str | None = None
) -> TemplateSource:
    """Add the current layouts and images that the source uses: the result is what would be published.

    An image that is not ready is left out; the check names it. A layout that is not in the table is taken from the
    slug's current version: older releases kept layouts in versions only.
    """
    shared = {view.name: view.text for view in await layout_store.list_layouts(connection)}
    parts = select_own_parts(source)
    layouts = layout_store.find_used_layouts(parts.files, shared.get)
    if slug is not None and layout_store.find_named_layouts(parts.files | layouts) - layouts.keys():
        pinned = await _get_pinned_layouts(connection, slug)
        layouts = layout_store.find_used_layouts(parts.files, lambda name: shared.get(name, pinned.get(name)))
    files = parts.files | layouts
    return replace(
        parts,
        files=files,
        assets=await asset_store.get_pinned_assets(connection, find_image_names(files.values())),
    )


async def load_source(database: Database, slug: str, version: int | None = None) -> TemplateSource:
    """Load a published version, or the draft with its layouts and images. Raises `NotFoundError`."""
    async with database.read() as connection:
        if version is not None:
            return (await template_queries.get_version(connection, slug, version)).source
        stored = await get_draft(connection, slug)
        if stored.source is None:
            raise NotFoundError(f"there is no template {slug!r}")
        return await assemble_source(connection, stored.source, slug)


async def _get_pinned_layouts(connection: AsyncConnection, slug: str) -> dict[str, str]:
    """Get the layouts in the current version."""
    current = (_version.template_id == _template.id) & (_version.number == _template.current_number)
    query = select(_version.source).join(Template, current).where(_template.slug == slug)
    source = (await connection.execute(query)).scalar_one_or_none()
    files = msgspec.convert(source, TemplateSource).files if source else {}
    return {name: text for name, text in files.items() if name.startswith(LAYOUTS)}
