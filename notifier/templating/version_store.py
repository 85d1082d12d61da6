"""Published versions in the database, numbered and never changed, and which key uses which template.

Submits and senders read nothing else of a template.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.auth.authenticator import LastUseWriter
from notifier.clock import Clock
from notifier.db.dialect import build_insert, insert_if_absent
from notifier.db.engine import Database
from notifier.db.tables import Template, TemplateDraft, TemplateUse, TemplateVersion, get_columns
from notifier.ids import generate_id
from notifier.rendering.protocol import SourceCheck
from notifier.states import Category, Priority, WhenUncertain
from notifier.template_language.template_source import TemplateSource
from notifier.templating.validation import parse_duration
from notifier.ttl_cache import TtlCache


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """A version as a submit needs it: with the schema of its variables, without its source."""

    id: UUID
    template_id: UUID
    slug: str
    number: int
    content_hash: str
    variables_schema: dict[str, Any]
    subject_variables: list[list[str]]  # paths of the variables that the subject shows
    category: Category
    priority: Priority
    expires_after: int | None  # seconds
    when_uncertain: WhenUncertain
    keep_content_days: int | None  # after the end; None: as the service says
    sender: str | None  # "Name <address>", unless a request says otherwise
    reply_to: str | None
    published_at: datetime


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Who publishes, when, and why."""

    by: str  # actor
    at: datetime
    note: str = ""
    keeps_draft: bool = False  # an old version is published again, so the draft stays


_template, _version, _draft = get_columns(Template), get_columns(TemplateVersion), get_columns(TemplateDraft)
_use = get_columns(TemplateUse)
_PUBLISHED = select(
    _template.slug, *(_version[name] for name in PublishedVersion.__dataclass_fields__ if name != "slug")
).join(Template, _template.id == _version.template_id)


async def get_current_version(connection: AsyncConnection, slug: str) -> PublishedVersion | None:
    """Get the version that new notifications use."""
    return await _get_version(
        connection, _template.slug == slug, _version.number == _template.current_number, _template.deleted_at.is_(None)
    )


async def get_numbered_version(connection: AsyncConnection, slug: str, number: int) -> PublishedVersion | None:
    """Get a version by its number."""
    return await _get_version(connection, _template.slug == slug, _version.number == number)


async def get_version_by_id(connection: AsyncConnection, id_: UUID) -> PublishedVersion | None:
    """Get a version by its id."""
    return await _get_version(connection, _version.id == id_)


async def _get_version(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> PublishedVersion | None:
    row = (await connection.execute(_PUBLISHED.where(*conditions))).mappings().one_or_none()
    return PublishedVersion(**row) if row else None


class TemplateKeyUse(NamedTuple):
    """A template, and a key that uses it."""

    template_id: UUID
    key_id: UUID
    service_id: UUID


class TemplateUsage(LastUseWriter[TemplateKeyUse]):
    """Records the uses of templates."""

    failure_event = "template_use_not_written"

    async def write_uses(self, connection: AsyncConnection, used: Sequence[TemplateKeyUse], at: datetime) -> None:
        """Write that these were used; an earlier time never replaces a later one."""
        statement = build_insert(connection, TemplateUse).values([use._asdict() | {"last_used_at": at} for use in used])
        later = statement.excluded.last_used_at
        await connection.execute(
            statement.on_conflict_do_update(
                index_elements=[_use.template_id, _use.key_id],
                set_={"last_used_at": later},
                where=_use.last_used_at < later,
            )
        )


class TemplateCache:
    """A one-second cache of published versions, for submits."""

    def __init__(self, database: Database, clock: Clock, uses: TemplateUsage | None = None) -> None:
        self.uses = uses  # records which key uses which template; None: nothing is recorded
        self._database = database
        self._versions: TtlCache[tuple[str, int | None], PublishedVersion] = TtlCache(self._find, clock)

    async def get_version(self, slug: str, number: int | None = None) -> PublishedVersion | None:
        """Get the version with this number, or the current one."""
        return await self._versions.get((slug, number))

    def forget_template(self, slug: str) -> None:
        """Forget the template, because it has changed. Other processes read it again within a second."""
        self._versions.invalidate(lambda key: key[0] == slug)

    async def _find(self, key: tuple[str, int | None]) -> PublishedVersion | None:
        slug, number = key
        async with self._database.read() as connection:
            if number is None:
                return await get_current_version(connection, slug)
            return await get_numbered_version(connection, slug, number)


async def list_current_versions(connection: AsyncConnection) -> list[PublishedVersion]:
    """List the current version of every template, by slug."""
    lives = _PUBLISHED.where(_version.number == _template.current_number, _template.deleted_at.is_(None))
    statement = lives.order_by(_template.slug)
    return [PublishedVersion(**row) for row in (await connection.execute(statement)).mappings()]


async def get_sources(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, TemplateSource]:
    """Get the sources of these versions."""
    rows = await connection.execute(select(_version.id, _version.source).where(_version.id.in_(ids)))
    return {row.id: parse_pinned_source(row.source) for row in rows}


def parse_pinned_source(text: dict[str, Any]) -> TemplateSource:
    """Parse the source of a version; one that is older than the field `strict` is not strict."""
    return msgspec.convert({"strict": False} | text, TemplateSource)


async def write_version(
    connection: AsyncConnection, slug: str, source: TemplateSource, report: SourceCheck, publication: Publication
) -> PublishedVersion:
    """Write the source as the next version, make it current, delete the draft; `report` is of this source."""
    template_id, number = await _allocate_number(connection, slug, publication.at)
    settings = source.settings
    version = PublishedVersion(
        id=generate_id(),
        template_id=template_id,
        slug=slug,
        number=number,
        content_hash=source.content_hash(),
        variables_schema=report.variables_schema,
        subject_variables=report.subject_paths,
        category=Category(settings.category),
        priority=Priority(settings.priority),
        expires_after=parse_duration(settings.expires_after),
        when_uncertain=WhenUncertain(settings.when_uncertain),
        keep_content_days=settings.keep_content_days,
        sender=settings.from_,
        reply_to=settings.reply_to,
        published_at=publication.at,
    )
    row = {name: value for name, value in vars(version).items() if name != "slug"}
    row |= {"source": msgspec.to_builtins(source), "published_by": publication.by, "note": publication.note}
    await connection.execute(insert(TemplateVersion).values(row))
    if not publication.keeps_draft:
        await connection.execute(delete(TemplateDraft).where(_draft.template_id == template_id))
    return version


async def _allocate_number(connection: AsyncConnection, slug: str, now: datetime) -> tuple[UUID, int]:
    """Create the template, or undelete it, and make its next number current; return both."""
    query = select(_template.id).where(_template.slug == slug).with_for_update()
    template_id: UUID | None = (await connection.execute(query)).scalar_one_or_none()
    if template_id is None:  # another editor may create it at this moment
        await insert_if_absent(connection, Template, {"id": generate_id(), "slug": slug, "created_at": now})
        template_id = (await connection.execute(query)).scalar_one()
    newest = select(func.coalesce(func.max(_version.number), 0)).where(_version.template_id == template_id)
    number: int = (await connection.execute(newest)).scalar_one() + 1
    changes = {"current_number": number, "deleted_at": None}
    await connection.execute(update(Template).where(_template.id == template_id).values(changes))
    return template_id, number
