"""The state of templates in the database, for push and pull: version, draft, and who made them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.tables import Template, TemplateDraft, TemplateVersion, get_columns
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import draft_store, layout_store
from notifier.templating.layout_store import LayoutView

_template, _draft, _version = get_columns(Template), get_columns(TemplateDraft), get_columns(TemplateVersion)
_SELECT_STATES = (
    select(
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
        _draft.updated_by,
        _draft.updated_at,
    )
    .outerjoin(TemplateVersion, and_(_version.template_id == _template.id, _version.number == _template.current_number))
    .outerjoin(TemplateDraft, _draft.template_id == _template.id)
    .order_by(_template.slug)  # which is the order in which a push locks them
)


@dataclass(frozen=True, kw_only=True)
class TemplateState:
    """A template in the database; an unknown slug has number 0 and no draft."""

    slug: str
    deleted_at: datetime | None = None
    number: int = 0  # of the current version; 0: nothing is published
    content_hash: str = ""  # of the current version
    source: TemplateSource | None = None  # of the current version
    note: str = ""
    published_by: str = ""
    published_at: datetime | None = None
    variables: list[str] = field(default_factory=list)  # that a caller sends
    draft: TemplateSource | None = None  # own parts only
    revision: int = 0  # of the draft
    updated_by: str = ""
    updated_at: datetime | None = None

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


def hash_own_parts(source: TemplateSource) -> str:
    """Hash the template's own files."""
    return draft_store.select_own_parts(source).content_hash()


def hash_layout(text: str) -> str:
    """Hash a layout, as `_base.json` has it."""
    return sha256(text.encode()).hexdigest()


async def get_states(
    connection: AsyncConnection, slugs: Sequence[str] | None = None, *, lock: bool = False
) -> dict[str, TemplateState]:
    """Get the states of these templates, or of all; with `lock` for who is about to publish."""
    statement = _SELECT_STATES if slugs is None else _SELECT_STATES.where(_template.slug.in_(slugs))
    if lock:
        statement = statement.with_for_update(of=Template)
    rows = (await connection.execute(statement)).mappings()
    known = {row["slug"]: _build_state(dict(row)) for row in rows}
    return known | {slug: TemplateState(slug=slug) for slug in slugs or () if slug not in known}


def _build_state(row: dict[str, Any]) -> TemplateState:
    schema = row.pop("variables_schema") or {}
    values: dict[str, Any] = {name: value for name, value in row.items() if value is not None}
    for name in ("source", "draft"):
        if name in values:
            values[name] = msgspec.convert(values[name], TemplateSource)
    return TemplateState(**values, variables=list(schema.get("properties", {})))


async def get_version_sources(
    connection: AsyncConnection, slugs: Iterable[str]
) -> dict[str, dict[int, TemplateSource]]:
    """Get the source of every version of these templates, by slug and number."""
    sources: dict[str, dict[int, TemplateSource]] = {slug: {} for slug in slugs}
    if not sources:
        return sources
    statement = select(_template.slug, _version.number, _version.source).join(
        Template, _template.id == _version.template_id
    )
    for row in await connection.execute(statement.where(_template.slug.in_(list(sources)))):
        sources[row.slug][row.number] = msgspec.convert(row.source, TemplateSource)
    return sources


async def get_layouts(connection: AsyncConnection, states: Iterable[TemplateState]) -> dict[str, LayoutView]:
    """Get the layouts by name; one that only versions have is taken from the newest of them, with revision 0."""
    views = {view.name: view for view in await layout_store.list_layouts(connection)}
    published = [(state.published_at, state) for state in states if state.source and state.published_at]
    for at, state in sorted(published, key=lambda item: item[0], reverse=True):
        for name, text in (state.source.files if state.source else {}).items():
            if name.startswith(LAYOUTS) and name not in views:
                by = state.published_by
                views[name] = LayoutView(name=name, text=text, revision=0, updated_by=by, updated_at=at)
    return views
