"""Publishes a test's template without a check in a child process."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import SystemClock
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import TemplateSource
from notifier.template_language.variable_schema import build_schema
from notifier.templating import version_store
from notifier.templating.version_store import Publication, PublishedVersion


def build_report(source: TemplateSource, subject_paths: Sequence[list[str]] = ()) -> SourceCheck:
    """Build the report of a good source, as far as publishing reads it."""
    schema = build_schema(source.sample, source.settings.optional)
    return SourceCheck(faults=[], remarks=[], variables_schema=schema, subject_paths=[*subject_paths], previews={})


async def publish_template(
    connection: AsyncConnection,
    slug: str,
    source: TemplateSource,
    subject_paths: Sequence[list[str]] = (),
    *,
    now: datetime | None = None,
) -> PublishedVersion:
    """Publish the source as the next version of the slug."""
    publication = Publication(by="test", at=now or SystemClock().now())
    return await version_store.write_version(connection, slug, source, build_report(source, subject_paths), publication)
