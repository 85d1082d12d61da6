"""What differs between two states of a template: versions, or the draft as it would be published."""

import asyncio
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.errors import NotFoundError
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, source_diff, template_queries
from notifier.templating.source_diff import FileDifference
from notifier.templating.source_preview import SourceChecker
from notifier.templating.variable_diff import compare_variables

DRAFT = "draft"


@dataclass(frozen=True, kw_only=True)
class StateDifference:
    """What differs between two states of a template."""

    from_: str  # number of a version; "0": nothing
    files: list[FileDifference]
    added: list[str]  # variables, as dotted paths
    removed: list[str]


async def compare_states(
    database: Database, checker: SourceChecker, slug: str, from_: str | None, to: str
) -> StateDifference:
    """Compare two states, each `draft` or the number of a version; `from_` None: the current version.

    Raises `NotFoundError`.
    """
    async with database.read() as connection:
        begin = from_ or str((await template_queries.get_template(connection, slug)).number)
        old, old_schema = (None, {}) if begin == "0" else await _load(connection, slug, begin)
        new, new_schema = await _load(connection, slug, to)
    files = await asyncio.to_thread(source_diff.compare_sources, old, new)
    if old is not None and old_schema is None:
        old_schema = (await checker.check(old)).variables_schema
    if new_schema is None:
        new_schema = (await checker.check(new)).variables_schema
    variables = compare_variables(old_schema or {}, new_schema)
    return StateDifference(
        from_=begin,
        files=files,
        added=[variable.path for variable in variables.added],
        removed=[variable.path for variable in variables.removed],
    )


async def _load(connection: AsyncConnection, slug: str, state: str) -> tuple[TemplateSource, dict[str, Any] | None]:
    """Load a source, and the schema of its variables if it is published."""
    if state != DRAFT:
        version = await template_queries.get_version(connection, slug, int(state))
        return version.source, version.variables_schema
    stored = await draft_store.get_draft(connection, slug)
    if stored.source is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return await draft_store.assemble_source(connection, stored.source, slug), None
