"""What the database has under each slug, as somebody with files needs it: the version, the draft, and who made them."""

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
    """One template as it stands; a slug that the database does not know has number 0 and no draft."""

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
        """Whether the current version's text has this hash; the images that it was published with do not count."""
        return self.source is not None and (hash_ == self.content_hash or hash_ == hash_texts(self.source))

    def select_source(self, *, draft: bool) -> TemplateSource | None:
        """What somebody gets who asks for the template, or for its draft if there is one; None: nothing lives there."""
        if self.deleted_at:
            return None
        return self.draft if draft and self.draft is not None else self.source

    @property
    def version_text(self) -> str:
        """The current version, with who published it and when, in words."""
        note = f", “{self.note}”" if self.note else ""
        return f"version {self.number}, published by {self.published_by} {_format_time(self.published_at)}{note}"

    @property
    def draft_text(self) -> str:
        """The draft, with who saved it and when, in words."""
        return f"a draft that {self.updated_by} saved {_format_time(self.updated_at)}"


def _format_time(moment: datetime | None) -> str:
    return f"on {moment:%Y-%m-%d} at {moment:%H:%M} UTC" if moment else "at an unknown time"


def hash_texts(source: TemplateSource) -> str:
    """The hash of what files can have of the source: all but the images, which only the database knows."""
    return replace(source, assets={}).content_hash()


def hash_own_parts(source: TemplateSource) -> str:
    """The hash of the template's own files."""
    return draft_store.select_own_parts(source).content_hash()


def hash_layout(text: str) -> str:
    """The hash of a layout, as `_base.json` has it."""
    return sha256(text.encode()).hexdigest()


async def get_states(
    connection: AsyncConnection, slugs: Sequence[str] | None = None, *, lock: bool = False
) -> dict[str, TemplateState]:
    """What stands under these slugs, or under all that are known; with `lock` for who is about to publish."""
    statement = _SELECT_STATES if slugs is None else _SELECT_STATES.where(_template.slug.in_(slugs))
    if lock:
        statement = statement.with_for_update(of=Template)
    found = [_build_state(dict(row)) for row in (await connection.execute(statement)).mappings()]
    known = {one.slug: one for one in found}
    return known | {slug: TemplateState(slug=slug) for slug in slugs or () if slug not in known}


def _build_state(row: dict[str, Any]) -> TemplateState:
    schema = row.pop("variables_schema") or {}
    given: dict[str, Any] = {name: value for name, value in row.items() if value is not None}
    for name in ("source", "draft"):
        if name in given:
            given[name] = msgspec.convert(given[name], TemplateSource)
    return TemplateState(**given, variables=list(schema.get("properties", {})))


async def get_version_sources(
    connection: AsyncConnection, slugs: Iterable[str]
) -> dict[str, dict[int, TemplateSource]]:
    """Every version of these templates, by slug and number."""
    found: dict[str, dict[int, TemplateSource]] = {slug: {} for slug in slugs}
    if not found:
        return found
    statement = select(_template.slug, _version.number, _version.source).join(
        Template, _template.id == _version.template_id
    )
    for row in await connection.execute(statement.where(_template.slug.in_(list(found)))):
        found[row.slug][row.number] = msgspec.convert(row.source, TemplateSource)
    return found


async def get_layouts(connection: AsyncConnection, stand: Iterable[TemplateState]) -> dict[str, LayoutView]:
    """The layouts by name; one that only versions have, as the newest of these has it, with revision 0."""
    found = {one.name: one for one in await layout_store.list_layouts(connection)}
    published = [(one.published_at, one) for one in stand if one.source and one.published_at]
    for at, one in sorted(published, key=lambda each: each[0], reverse=True):
        for name, text in (one.source.files if one.source else {}).items():
            if name.startswith(LAYOUTS) and name not in found:
                found[name] = LayoutView(name=name, text=text, revision=0, updated_by=one.published_by, updated_at=at)
    return found
