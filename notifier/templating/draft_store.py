"""Drafts, at most one for each template: checked, and saved under optimistic locking.

A draft has the template's own parts; layouts and images are added when it is previewed or published.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
from msgspec import structs
from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db.dialect import insert_if_absent
from notifier.db.engine import OpenReader
from notifier.db.tables import Template, TemplateDraft, get_columns
from notifier.errors import InvalidRequestError, NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.mail.mail_parts import find_image_names
from notifier.rendering.preview_pool import EditorRenderer
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import RenderFault, TemplateSource
from notifier.templating import layout_store, template_store, validation
from notifier.templating.assets import asset_store
from notifier.templating.edit_rules import EditConflictError, record_template, require_room, require_same_revision
from notifier.templating.template_store import select_own_parts

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_draft = get_columns(TemplateDraft)


@dataclass(frozen=True, kw_only=True)
class DraftView:
    """What an editor gets for a slug: the draft, or the current version if there is none."""

    template_id: UUID | None = None  # None: nothing was ever saved under this slug
    slug: str
    source: TemplateSource | None = None  # own parts only; None: there is none
    number: int = 0  # of the current version; 0: nothing is published
    saves: int = 0  # how often the draft was saved; 0: there is none
    base_number: int | None = None  # the version that the draft was made from
    faults: Sequence[RenderFault] = ()  # of a draft that was saved unfinished
    updated_by: str | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None

    @property
    def has_draft(self) -> bool:
        """Whether there is a draft; if not, this is the current version."""
        return self.saves > 0

    @property
    def revision(self) -> str:
        """Identifies this state: every save and every publish changes it.

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
    """Get the draft, or the current version; with `lock` for a caller that is about to change it."""
    state = (await template_store.get_states(connection, [slug], lock=lock))[slug]
    view = DraftView(template_id=state.id, slug=slug, number=state.number, deleted_at=state.deleted_at)
    if state.draft is not None:
        return replace(
            view,
            source=state.draft,
            saves=state.revision,
            base_number=state.base_number,
            faults=state.faults,
            updated_by=state.updated_by,
            updated_at=state.updated_at,
        )
    if state.source is None:
        return view
    own_parts = select_own_parts(state.source)
    return replace(
        view,
        source=own_parts,
        base_number=state.number,
        updated_by=state.published_by,
        updated_at=state.published_at,
    )


def require_revision(stored: DraftView, revision: str, yours: TemplateSource | None = None) -> None:
    """Raise `TemplateDeletedError`, or `StaleDraftError` unless this is the revision; "" means "0.0"."""
    if stored.deleted_at is not None:
        raise TemplateDeletedError
    require_same_revision(StaleDraftError, stored, revision or "0.0", yours)


def is_repeated_save(stored: DraftView, source: TemplateSource, by: str) -> bool:
    """Whether the same editor has already saved this source: the reply may have been lost."""
    return stored.has_draft and stored.updated_by == by and stored.source == select_own_parts(source)


async def check_draft(
    open_reader: OpenReader,
    checker: EditorRenderer,
    slug: str,
    source: TemplateSource,
    *,
    revision: str,
    unfinished: bool = False,
) -> SourceCheck:
    """Check a draft before it is saved; no connection is held while it is rendered.

    With `unfinished` the faults are returned, and only names and sizes are required. Raises `InvalidRequestError`,
    `StaleDraftError`, `TemplateDeletedError`.
    """
    validation.require_valid_source(slug, source, unfinished=unfinished)
    async with open_reader() as connection:
        stored = await get_draft(connection, slug)
        if not is_repeated_save(stored, source, checker.editor):
            require_revision(stored, revision, source)
        whole = await assemble_source(connection, source, slug)
    checked = await checker.check(whole)
    if unfinished:
        return structs.replace(checked, faults=[*validation.list_problem_faults(source), *checked.faults])
    validation.require_renderable(checked)
    return checked


def require_finished(draft: DraftView) -> None:
    """Raise `InvalidRequestError` with the faults of a draft that was saved unfinished."""
    if draft.faults:
        raise InvalidRequestError([validation.build_render_fault(fault) for fault in draft.faults])


async def save_draft(
    connection: AsyncConnection,
    slug: str,
    source: TemplateSource,
    *,
    revision: str,
    actor: Actor,
    faults: Sequence[RenderFault] = (),
) -> DraftView:
    """Save the source as the draft if it still has this revision; a repeated save of the same editor is no conflict.

    A draft with faults is kept, and cannot be published. Raises `StaleDraftError`, `TemplateDeletedError`,
    `TooManyTemplatesError`.
    """
    stored = await get_draft(connection, slug, lock=True)
    if stored.template_id is None:
        await require_room(connection, Template)
        await insert_if_absent(connection, Template, {"id": generate_id(), "slug": slug, "created_at": actor.at})
        stored = await get_draft(connection, slug, lock=True)  # another editor may have been first
    if is_repeated_save(stored, source, actor.name):
        actor.record_no_change()
        return stored
    require_revision(stored, revision, source)
    assert stored.template_id is not None
    saved = replace(
        stored,
        source=select_own_parts(source),
        saves=stored.saves + 1,
        base_number=stored.number or None,
        faults=tuple(faults),
        updated_by=actor.name,
        updated_at=actor.at,
    )
    row = {name: getattr(saved, name) for name in ("base_number", "updated_by", "updated_at")}
    row |= {"source": msgspec.to_builtins(saved.source), "revision": saved.saves}
    row |= {"faults": msgspec.to_builtins(saved.faults) or None}
    if stored.has_draft:
        await connection.execute(update(TemplateDraft).where(_draft.template_id == stored.template_id).values(row))
    else:
        await connection.execute(insert(TemplateDraft).values(row | {"template_id": stored.template_id}))
    template = (stored.template_id, slug)
    await record_template(connection, AuditAction.TEMPLATE_SAVED, template, actor, revision=saved.saves)
    return saved


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


async def assemble_source(
    connection: AsyncConnection, source: TemplateSource, slug: str | None = None
) -> TemplateSource:
    """Add the current layouts and images that the source uses: the result is what would be published.

    An image that is not ready is left out; the check reports it. A layout that is not in the table is taken from the
    slug's current version: older releases kept layouts in versions only.
    """
    shared = {view.name: view.text for view in await layout_store.list_layouts(connection)}
    parts = select_own_parts(source)
    layouts = layout_store.find_used_layouts(parts.files, shared.get)
    if slug is not None and layout_store.find_named_layouts(parts.files | layouts) - layouts.keys():
        current = (await template_store.get_states(connection, [slug]))[slug].source
        pinned = current.files if current else {}
        layouts = layout_store.find_used_layouts(parts.files, lambda name: shared.get(name, pinned.get(name)))
    files = parts.files | layouts
    return structs.replace(
        parts,
        files=files,
        assets=await asset_store.get_pinned_assets(connection, find_image_names(files.values())),
    )


async def load_source(
    open_reader: OpenReader, slug: str, version: int | None = None, *, finished: bool = False
) -> TemplateSource:
    """Load a published version, or the draft with its layouts and images; with `finished` only a finished draft.

    Raises `NotFoundError`, `InvalidRequestError`.
    """
    async with open_reader() as connection:
        if version is not None:
            return (await template_store.get_version(connection, slug, version)).source
        stored = await get_draft(connection, slug)
        if stored.source is None:
            raise NotFoundError(f"there is no template {slug!r}")
        if finished:
            require_finished(stored)
        return await assemble_source(connection, stored.source, slug)
