"""From files to the database: check in the rendering pool, then publish what differs. Never touches what is equal."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import TemplateError
from notifier.rendering.job import Checked
from notifier.rendering.pool import RenderingPool
from notifier.rendering.source import TemplateSource
from notifier.templating import asset_files, files, store
from notifier.templating.store import Publication


class Change(StrEnum):
    """What pushing a template did."""

    CREATED = "created"
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """One template after a push."""

    slug: str
    number: int
    change: Change


async def checked(pool: RenderingPool, slug: str, source: TemplateSource) -> Checked:
    """The report of a source that can be published. Raises `TemplateError` if it cannot."""
    report = await pool.check(source)
    if report.blocks:
        raise TemplateError(slug, report.blocks)
    return report


@dataclass(frozen=True, kw_only=True)
class Push:
    """A push of template files into the database."""

    database: Database
    pool: RenderingPool
    clock: Clock
    by: str  # actor
    only_new: bool = False  # at the start of demo and Compose: never overwrite what staff edited

    async def run(self, root: Path, slugs: Sequence[str]) -> list[Pushed]:
        """Publish the named templates; all are read and checked before the first is written."""
        prepared = [(slug, source, await checked(self.pool, slug, source)) for slug, source in _read(root, slugs)]
        async with self.database.write() as connection:
            pushed = []
            for slug, source, report in prepared:
                there = await store.current(connection, slug)
                if there and (self.only_new or there.content_hash == source.content_hash()):
                    change = Change.UNCHANGED if there.content_hash == source.content_hash() else Change.KEPT
                    pushed.append(Pushed(slug=slug, number=there.number, change=change))
                    continue
                await asset_files.push(connection, root, source.assets, by=self.by, now=self.clock.now())
                publication = Publication(by=self.by, at=self.clock.now())
                version = await store.publish(connection, slug, source, report, publication)
                change = Change.PUBLISHED if there else Change.CREATED
                pushed.append(Pushed(slug=slug, number=version.number, change=change))
        return pushed


def _read(root: Path, slugs: Sequence[str]) -> list[tuple[str, TemplateSource]]:
    """All sources, or one `TemplateError` per unreadable template, raised together as the first."""
    found, failed = [], []
    for slug in slugs:
        try:
            found.append((slug, files.read(root, slug)))
        except TemplateError as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise TemplateError(", ".join(e.slug for e in failed), [f"{e.slug}: {p}" for e in failed for p in e.problems])
    return found
