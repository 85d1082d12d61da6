"""Queries for templates and versions; the lists read no sources."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Template, TemplateDraft, TemplateVersion, get_columns
from notifier.errors import NotFoundError
from notifier.template_language.template_source import TemplateSource
from notifier.templating.version_store import parse_pinned_source

_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)


@dataclass(frozen=True, kw_only=True)
class TemplateView:
    """A template without its text; name and category are those of the draft, if there is one."""

    id: UUID
    slug: str
    name: str
    category: str
    number: int  # of the current version; 0: nothing is published
    has_draft: bool
    updated_by: str
    updated_at: datetime
    deleted_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class VersionView:
    """A version, without its text."""

    id: UUID
    number: int
    content_hash: str
    note: str
    published_by: str
    published_at: datetime


@dataclass(frozen=True, kw_only=True)
class FullVersionView(VersionView):
    """A version with its source."""

    template_id: UUID
    source: TemplateSource
    variables_schema: dict[str, Any]


async def list_templates(
    connection: AsyncConnection, *, deleted: bool = False, before: UUID | None = None, limit: int
) -> list[TemplateView]:
    """List templates, the newest first; with `deleted` also those that are deleted."""
    query = _select_templates()
    if not deleted:
        query = query.where(_template.deleted_at.is_(None))
    if before is not None:
        query = query.where(_template.id < before)
    rows = await connection.execute(query.order_by(_template.id.desc()).limit(limit))
    return [_build_template_view(row) for row in rows.mappings()]


async def get_template(connection: AsyncConnection, slug: str) -> TemplateView:
    """Get a template, deleted or not. Raises `NotFoundError`."""
    row = (await connection.execute(_select_templates().where(_template.slug == slug))).mappings().one_or_none()
    if row is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return _build_template_view(row)


async def list_versions(
    connection: AsyncConnection, template_id: UUID, *, before: UUID | None = None, limit: int
) -> list[VersionView]:
    """List the versions of a template, newest first."""
    query = select(*(_version[name] for name in VersionView.__dataclass_fields__))
    query = query.where(_version.template_id == template_id)
    if before is not None:
        query = query.where(_version.id < before)
    rows = await connection.execute(query.order_by(_version.id.desc()).limit(limit))
    return [VersionView(**row) for row in rows.mappings()]


async def get_version(connection: AsyncConnection, slug: str, number: int) -> FullVersionView:
    """Get a version with its source. Raises `NotFoundError`."""
    query = select(*(_version[name] for name in FullVersionView.__dataclass_fields__))
    query = query.join(Template, _template.id == _version.template_id)
    row = (await connection.execute(query.where(_template.slug == slug, _version.number == number))).mappings().first()
    if row is None:
        raise NotFoundError(f"{slug} has no version {number}")
    return FullVersionView(**dict(row) | {"source": parse_pinned_source(row["source"])})


def _select_templates() -> Select[Any]:
    def select_setting(name: str) -> Any:
        in_draft, in_version = (columns.source["settings"][name].as_string() for columns in (_draft, _version))
        return func.coalesce(in_draft, in_version, "").label(name)

    current = (_version.template_id == _template.id) & (_version.number == _template.current_number)
    return (
        select(_template.id, _template.slug, select_setting("name"), select_setting("category"), _template.deleted_at)
        .add_columns(func.coalesce(_template.current_number, 0).label("number"), _draft.revision)
        .add_columns(func.coalesce(_draft.updated_by, _version.published_by).label("updated_by"))
        .add_columns(_draft.updated_at, _version.published_at)
        .join(TemplateDraft, _draft.template_id == _template.id, isouter=True)
        .join(TemplateVersion, current, isouter=True)
        .where(_draft.revision.is_not(None) | _version.number.is_not(None))
    )


def _build_template_view(row: Any) -> TemplateView:
    values = dict(row)
    saved_at, published_at = values.pop("updated_at"), values.pop("published_at")
    has_draft = values.pop("revision") is not None
    category = values.pop("category") or "transactional"
    return TemplateView(**values, category=category, has_draft=has_draft, updated_at=saved_at or published_at)
