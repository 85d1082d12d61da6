"""The languages of templates: which each has, which only others have, and which were left behind by a change."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.dialect import build_statement
from notifier.db.tables import TemplateVersion, get_columns
from notifier.template_language.template_source import LOCALES, PARTS, TemplateSource, list_fallback_locales

MAX_VERSIONS = 20
"""How many versions are read to find when a part changed last; what is older counts as equally old."""
_version = get_columns(TemplateVersion)
_TEMPLATES = """FROM template AS t
LEFT JOIN template_version AS v ON v.template_id = t.id AND v.number = t.current_number
LEFT JOIN template_draft AS d ON d.template_id = t.id"""
_LANGUAGES = build_statement(
    f"""SELECT t.slug, coalesce(d.source, v.source) -> 'settings' ->> 'locale' AS own, f.name
{_TEMPLATES}
LEFT JOIN LATERAL jsonb_object_keys(coalesce(d.source, v.source) -> 'files') AS f(name) ON f.name LIKE 'locales/%'
WHERE t.deleted_at IS NULL AND coalesce(d.source, v.source) IS NOT NULL""",
    f"""SELECT t.slug, coalesce(d.source, v.source) ->> '$.settings.locale' AS own, f.key AS name
{_TEMPLATES}
LEFT JOIN json_each(coalesce(d.source, v.source), '$.files') AS f ON f.key LIKE 'locales/%'
WHERE t.deleted_at IS NULL AND coalesce(d.source, v.source) IS NOT NULL""",
)


@dataclass(frozen=True, kw_only=True)
class TemplateLanguages:
    """The languages of a template: of its draft if there is one, else of the current version."""

    own: str  # of the parts outside `locales/`
    others: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        """Every language in which there is such a mail."""
        return self.others | {self.own}

    def list_missing(self, wanted: Iterable[str]) -> list[str]:
        """List which of these languages get the mail in the template's own one; `fr` stands for `fr-CA` as well."""
        known = {tag.lower() for tag in self.all}
        missing = []
        for tag in sorted(wanted):
            fallbacks = [fallback.lower() for fallback in list_fallback_locales(tag)]
            if not known.intersection(fallbacks):
                known.add(tag.lower())
                missing.append(tag)
        return missing


@dataclass(frozen=True, kw_only=True)
class Translation:
    """A language of a template, compared with the parts in its own language."""

    locale: str
    is_missing: bool = False  # other templates have it
    older: tuple[str, ...] = ()  # parts that changed in the template's own language since they changed in this one


async def list_languages(connection: AsyncConnection) -> dict[str, TemplateLanguages]:
    """List the languages of each template that is not deleted, by its slug."""
    own: dict[str, str] = {}
    others: dict[str, set[str]] = {}
    for row in await connection.execute(_LANGUAGES.for_connection(connection)):
        own[row.slug] = row.own or "en"
        tags = others.setdefault(row.slug, set())
        if row.name is not None:
            tags.add(row.name.split("/")[1])
    return {slug: TemplateLanguages(own=tag, others=frozenset(others[slug])) for slug, tag in own.items()}


async def list_translations(
    connection: AsyncConnection, template_id: UUID | None, source: TemplateSource
) -> list[Translation]:
    """List the languages of a source, which may be newer than all versions, and those that only others have."""
    others = {tag for each in (await list_languages(connection)).values() for tag in each.all}
    states: list[Mapping[str, str]] = [source.files]
    if template_id is not None and source.locales:
        query = select(_version.source["files"].label("files")).where(_version.template_id == template_id)
        states += (await connection.execute(query.order_by(_version.id.desc()).limit(MAX_VERSIONS))).scalars()
    known = TemplateLanguages(own=source.settings.locale, others=frozenset(source.locales))
    found = [Translation(locale=tag, older=find_older_parts(states, tag)) for tag in source.locales]
    return [*found, *(Translation(locale=tag, is_missing=True) for tag in known.list_missing(others))]


def find_older_parts(states: Sequence[Mapping[str, str]], locale: str) -> tuple[str, ...]:
    """Find the parts of a language that were left behind; `states` are the template's files, the newest first."""
    pairs = [(part, f"{LOCALES}{locale}/{part}") for part in PARTS]
    return tuple(
        part
        for part, translated in pairs
        if part in states[0] and translated in states[0]
        if _count_unchanged(states, part) < _count_unchanged(states, translated)
    )


def _count_unchanged(states: Sequence[Mapping[str, str]], name: str) -> int:
    """Count the states, from the newest back, in which a part is the same."""
    others = (number for number, files in enumerate(states) if files.get(name) != states[0].get(name))
    return next(others, len(states))
