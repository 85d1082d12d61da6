"""What is being edited: one draft for each template, saved only by who has seen what stands there.

A draft has the template's own parts; layouts and images are put to it when it is looked at or published.
"""

from dataclasses import dataclass
from dataclasses import replace as dataclass_replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Template, TemplateDraft, TemplateVersion, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.mail import pinned_images
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import layout_store, template_limits
from notifier.templating.assets import asset_store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)


@dataclass(frozen=True, kw_only=True)
class DraftView:
    """What stands under a slug for who edits it: the draft, or the current version if there is none."""

    template_id: UUID | None  # None: nothing was ever saved under this slug
    slug: str
    source: TemplateSource | None  # own parts only; None: as above
    number: int  # of the current version; 0: nothing is published
    revision: int  # of the draft; 0: there is none
    base_number: int | None  # the version that the draft was made from
    updated_by: str | None
    updated_at: datetime | None
    deleted_at: datetime | None = None

    @property
    def seen(self) -> str:
        """What names this very state: any publish and any save changes it.

        Its time tells a draft from the one with the same revision that was discarded before.
        """
        if not self.revision or self.updated_at is None:
            return f"{self.number}.{self.revision}"
        return f"{self.number}.{self.revision}.{(self.updated_at - _EPOCH) // timedelta(microseconds=1):x}"


class StaleDraftError(NotifierError):
    """Somebody else has saved or published since you looked."""

    def __init__(self, theirs: DraftView, yours: TemplateSource | None = None) -> None:
        self.theirs = theirs
        self.yours = yours  # None: nothing was to be saved
        super().__init__(f"{theirs.slug} was changed since: it stands at {theirs.seen}")


class TemplateDeletedError(NotifierError):
    """The template is deleted: restore it first."""


async def get_draft(connection: AsyncConnection, slug: str, *, lock: bool = False) -> DraftView:
    """What stands under the slug; with `lock` for who is about to change it."""
    query = select(_template.id, _template.current_number, _template.deleted_at).where(_template.slug == slug)
    found = (await connection.execute(query.with_for_update() if lock else query)).one_or_none()
    if found is None:
        return _build_empty_draft(slug)
    kept = await connection.execute(select(*_draft).where(_draft.template_id == found.id))
    row = kept.mappings().one_or_none()
    if row is not None:
        return DraftView(
            template_id=found.id,
            slug=slug,
            source=msgspec.convert(row["source"], TemplateSource),
            number=found.current_number or 0,
            revision=row["revision"],
            base_number=row["base_number"],
            updated_by=row["updated_by"],
            updated_at=row["updated_at"],
            deleted_at=found.deleted_at,
        )
    current = await _get_current_version(connection, slug, found.id, found.current_number)
    return dataclass_replace(current, deleted_at=found.deleted_at)


def require_revision(there: DraftView, seen: str, yours: TemplateSource | None = None) -> None:
    """Raise `TemplateDeletedError`, or `StaleDraftError` unless this is what was seen; "" is as "0.0"."""
    if there.deleted_at is not None:
        raise TemplateDeletedError
    if there.seen != (seen or "0.0"):
        raise StaleDraftError(there, yours)


def is_repeated_save(there: DraftView, source: TemplateSource, by: str) -> bool:
    """True if the same editor has just saved the same: the answer to that may have been lost."""
    return there.revision > 0 and there.updated_by == by and there.source == select_own_parts(source)


async def save_draft(
    connection: AsyncConnection, slug: str, source: TemplateSource, *, seen: str, by: str, now: datetime
) -> DraftView:
    """Keep the source as the draft if nothing has changed since `seen`.

    Raises `StaleDraftError`, `TemplateDeletedError`, `TooManyTemplatesError`.
    """
    there = await get_draft(connection, slug, lock=True)
    if there.template_id is None:
        await template_limits.require_room(connection, Template)
        await _insert_template(connection, slug, now)
        there = await get_draft(connection, slug, lock=True)  # another may have been first
    require_revision(there, seen, source)
    template_id = there.template_id
    kept = select_own_parts(source)
    values: dict[str, Any] = {
        "source": msgspec.to_builtins(kept),
        "revision": there.revision + 1,
        "base_number": there.number or None,
        "updated_by": by,
        "updated_at": now,
    }
    if there.revision:
        statement = update(TemplateDraft).where(_draft.template_id == template_id).values(values)
        await connection.execute(statement)
    else:
        await connection.execute(insert(TemplateDraft).values(values | {"template_id": template_id}))
    return DraftView(**values | {"source": kept, "template_id": template_id, "slug": slug, "number": there.number})


async def discard_draft(connection: AsyncConnection, slug: str, *, seen: str) -> DraftView:
    """Forget the draft, which is what is returned. Raises `NotFoundError`, `StaleDraftError`."""
    there = await get_draft(connection, slug, lock=True)
    if not there.revision:
        raise NotFoundError(f"{slug} has no draft")
    require_revision(there, seen)
    await connection.execute(delete(TemplateDraft).where(_draft.template_id == there.template_id))
    return there


async def _insert_template(connection: AsyncConnection, slug: str, now: datetime) -> None:
    """A slug without anything under it; two who do this at once have found one."""
    inserting = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(Template)
    row = {"id": generate_id(), "slug": slug, "created_at": now}
    await connection.execute(inserting.values(row).on_conflict_do_nothing())


def select_own_parts(source: TemplateSource) -> TemplateSource:
    """The source without what it shares with others."""
    parts = {name: text for name, text in source.files.items() if not name.startswith(LAYOUTS)}
    return replace(source, files=parts, assets={})


async def assemble_source(
    connection: AsyncConnection, source: TemplateSource, slug: str | None = None
) -> TemplateSource:
    """The source with the layouts and the images that it uses, as they stand now: what would be published.

    An image that is not ready is left out; the check names it, and where. A layout that is nowhere else is taken from
    the slug's current version: older releases kept layouts in versions only.
    """
    shared = {one.name: one.text for one in await layout_store.list_layouts(connection)}
    parts = select_own_parts(source)
    found = layout_store.find_used_layouts(parts.files, shared.get)
    if slug is not None and layout_store.find_named_layouts(parts.files | found) - found.keys():
        pinned = await _get_pinned_layouts(connection, slug)
        found = layout_store.find_used_layouts(parts.files, lambda name: shared.get(name, pinned.get(name)))
    files = parts.files | found
    return replace(
        parts,
        files=files,
        assets=await asset_store.get_pinned_assets(connection, pinned_images.find_image_names(files.values())),
    )


async def _get_pinned_layouts(connection: AsyncConnection, slug: str) -> dict[str, str]:
    """The layouts in the current version."""
    current = (_version.template_id == _template.id) & (_version.number == _template.current_number)
    query = select(_version.source).join(Template, current).where(_template.slug == slug)
    source = (await connection.execute(query)).scalar_one_or_none()
    files = msgspec.convert(source, TemplateSource).files if source else {}
    return {name: text for name, text in files.items() if name.startswith(LAYOUTS)}


def _build_empty_draft(slug: str) -> DraftView:
    return DraftView(
        template_id=None,
        slug=slug,
        source=None,
        number=0,
        revision=0,
        base_number=None,
        updated_by=None,
        updated_at=None,
    )


async def _get_current_version(
    connection: AsyncConnection, slug: str, template_id: UUID, number: int | None
) -> DraftView:
    query = select(_version.source, _version.published_by, _version.published_at).where(
        _version.template_id == template_id, _version.number == number
    )
    row = (await connection.execute(query)).one_or_none()
    return DraftView(
        template_id=template_id,
        slug=slug,
        source=select_own_parts(msgspec.convert(row.source, TemplateSource)) if row else None,
        number=number or 0,
        revision=0,
        base_number=number,
        updated_by=row.published_by if row else None,
        updated_at=row.published_at if row else None,
    )
