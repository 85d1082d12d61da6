"""Templates in the database: listed, read with version and draft, deleted and undeleted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db.tables import Template, TemplateDraft, TemplateVersion, get_columns
from notifier.errors import NotFoundError
from notifier.template_language.template_source import LAYOUTS, SUBJECT, RenderFault, TemplateSource
from notifier.templating.edit_rules import record_template
from notifier.templating.version_store import parse_pinned_source

_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)
_CURRENT = (_version.template_id == _template.id) & (_version.number == _template.current_number)
_SELECT_STATES = (
    select(
        _template.id,
        _template.slug,
        _template.deleted_at,
        _version.number,
        _version.content_hash,
        _version.source,
        _version.note,
        _version.published_by,
        _version.published_at,
        _version.variables_schema,
        _draft.source.label("draft"),
        _draft.revision,
        _draft.base_number,
        _draft.faults,
        _draft.updated_by,
        _draft.updated_at,
    )
    .outerjoin(TemplateVersion, _CURRENT)
    .outerjoin(TemplateDraft, _draft.template_id == _template.id)
    .order_by(_template.slug)
)


@dataclass(frozen=True, kw_only=True)
class TemplateView:
    """A template without its text; name and category are those of the draft, if there is one."""

    id: UUID
    slug: str
    name: str
    category: str
    subject: str  # the source of the subject in the default language, as it would be published
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


@dataclass(frozen=True, kw_only=True)
class TemplateState:
    """A template with its current version and its draft; an unknown slug has number 0 and no draft."""

    slug: str
    id: UUID | None = None  # None: nothing was ever saved under this slug
    deleted_at: datetime | None = None
    number: int = 0  # of the current version; 0: nothing is published
    content_hash: str = ""  # of the current version
    source: TemplateSource | None = None  # of the current version
    note: str = ""
    published_by: str = ""
    published_at: datetime | None = None
    variables: list[str] = field(default_factory=list)  # that a caller sends
    draft: TemplateSource | None = None  # own parts only
    revision: int = 0  # of the draft: how often it was saved
    base_number: int | None = None  # the version that the draft was made from
    faults: Sequence[RenderFault] = ()  # of a draft that was saved unfinished
    updated_by: str = ""
    updated_at: datetime | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is a current version or a draft."""
        return bool(self.number or self.revision)

    def has_hash(self, hash_: str) -> bool:
        """Whether the current version has this hash, with or without its images."""
        return self.source is not None and (hash_ == self.content_hash or hash_ == hash_texts(self.source))

    def select_source(self, *, draft: bool) -> TemplateSource | None:
        """The source of the version, or with `draft` of the draft if there is one; None: there is neither."""
        if self.deleted_at:
            return None
        return self.draft if draft and self.draft is not None else self.source

    @property
    def version_text(self) -> str:
        """Say which version is current, who published it, and when."""
        note = f", “{self.note}”" if self.note else ""
        return f"version {self.number}, published by {self.published_by} {_format_time(self.published_at)}{note}"

    @property
    def draft_text(self) -> str:
        """Say who saved the draft, and when."""
        return f"a draft that {self.updated_by} saved {_format_time(self.updated_at)}"


def _format_time(moment: datetime | None) -> str:
    return f"on {moment:%Y-%m-%d} at {moment:%H:%M} UTC" if moment else "at an unknown time"


def hash_texts(source: TemplateSource) -> str:
    """Hash the source without its images, which have no file."""
    return replace(source, assets={}).content_hash()


def select_own_parts(source: TemplateSource) -> TemplateSource:
    """Return the source without the layouts and images that it shares with other templates."""
    parts = {name: text for name, text in source.files.items() if not name.startswith(LAYOUTS)}
    return replace(source, files=parts, assets={})


async def get_states(
    connection: AsyncConnection, slugs: Sequence[str] | None = None, *, lock: bool = False
) -> dict[str, TemplateState]:
    """Get the states of these templates, or of all; with `lock` for a caller that is about to change them."""
    states = _SELECT_STATES if slugs is None else _SELECT_STATES.where(_template.slug.in_(slugs))
    if lock:  # in a statement of its own, so that the next one reads what was committed while this one waited
        locked = select(_template.id).where(_template.slug.in_(slugs or ())).order_by(_template.slug)
        await connection.execute(locked.with_for_update())
    rows = (await connection.execute(states)).mappings()
    known = {row["slug"]: _build_state(dict(row)) for row in rows}
    return known | {slug: TemplateState(slug=slug) for slug in slugs or () if slug not in known}


async def list_states(
    connection: AsyncConnection, slugs: Sequence[str] | None = None, *, before: UUID | None = None, limit: int
) -> list[TemplateState]:
    """List the states of those of these templates that exist, or of all, the newest first; deleted ones included."""
    query = _SELECT_STATES.where(_draft.revision.is_not(None) | _version.number.is_not(None))
    if slugs is not None:
        query = query.where(_template.slug.in_(slugs))
    if before is not None:
        query = query.where(_template.id < before)
    rows = await connection.execute(query.order_by(None).order_by(_template.id.desc()).limit(limit))
    return [_build_state(dict(row)) for row in rows.mappings()]


def _build_state(row: dict[str, Any]) -> TemplateState:
    schema = row.pop("variables_schema") or {}
    values: dict[str, Any] = {name: value for name, value in row.items() if value is not None}
    for name in ("source", "draft"):
        if name in values:
            values[name] = msgspec.convert(values[name], TemplateSource)
    if "faults" in values:
        values["faults"] = msgspec.convert(values["faults"], tuple[RenderFault, ...])
    return TemplateState(**values, variables=list(schema.get("properties", {})))


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

    subjects = (columns.source["files"][SUBJECT].as_string() for columns in (_draft, _version))
    return (
        select(_template.id, _template.slug, select_setting("name"), select_setting("category"), _template.deleted_at)
        .add_columns(func.coalesce(*subjects, "").label("subject"))
        .add_columns(func.coalesce(_template.current_number, 0).label("number"), _draft.revision)
        .add_columns(func.coalesce(_draft.updated_by, _version.published_by).label("updated_by"))
        .add_columns(_draft.updated_at, _version.published_at)
        .join(TemplateDraft, _draft.template_id == _template.id, isouter=True)
        .join(TemplateVersion, _CURRENT, isouter=True)
        .where(_draft.revision.is_not(None) | _version.number.is_not(None))
    )


def _build_template_view(row: Any) -> TemplateView:
    values = dict(row)
    saved_at, published_at = values.pop("updated_at"), values.pop("published_at")
    has_draft = values.pop("revision") is not None
    category = values.pop("category") or "transactional"
    return TemplateView(**values, category=category, has_draft=has_draft, updated_at=saved_at or published_at)


async def delete_template(connection: AsyncConnection, slug: str, *, actor: Actor) -> None:
    """Delete the template; deleting it twice changes nothing. Raises `NotFoundError`."""
    id_, deleted_at = await _lock_template(connection, slug)
    if deleted_at is not None:
        actor.record_no_change()
        return
    await connection.execute(update(Template).where(_template.id == id_).values(deleted_at=actor.at))
    await record_template(connection, AuditAction.TEMPLATE_DELETED, (id_, slug), actor)


async def undelete_template(connection: AsyncConnection, slug: str, *, note: str, actor: Actor) -> None:
    """Undo the deletion of the template; if it is not deleted, nothing changes. Raises `NotFoundError`."""
    id_, deleted_at = await _lock_template(connection, slug)
    if deleted_at is None:
        actor.record_no_change()
        return
    await connection.execute(update(Template).where(_template.id == id_).values(deleted_at=None))
    await record_template(connection, AuditAction.TEMPLATE_RESTORED, (id_, slug), actor, note=note)


async def _lock_template(connection: AsyncConnection, slug: str) -> tuple[UUID, datetime | None]:
    query = select(_template.id, _template.deleted_at).where(_template.slug == slug).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return row.id, row.deleted_at
