"""Publishing a template that a test made up, without asking a child to check it."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.clock import SystemClock
from notifier.rendering.job import Checked
from notifier.rendering.source import TemplateSource
from notifier.rendering.variables import schema_of
from notifier.templating import store
from notifier.templating.store import Publication, Published


def report(source: TemplateSource, subject_paths: Sequence[list[str]] = ()) -> Checked:
    """What a check says of a good source, as far as publishing reads it."""
    schema = schema_of(source.sample, source.settings.optional)
    return Checked(faults=[], remarks=[], variables_schema=schema, subject_paths=[*subject_paths], previews={})


async def publish(
    connection: AsyncConnection,
    slug: str,
    source: TemplateSource,
    subject_paths: Sequence[list[str]] = (),
    *,
    now: datetime | None = None,
) -> Published:
    """The source as the next version of the slug."""
    publication = Publication(by="test", at=now or SystemClock().now())
    return await store.publish(connection, slug, source, report(source, subject_paths), publication)
