"""From files to the database: read, compare, check in the rendering pool, and publish what differs, all or nothing.

What stands there is replaced only if these files came from it, if the same actor pushed it, or if the caller says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Action, Doer
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import NotifierError, TemplateError
from notifier.rendering.job import Checked
from notifier.rendering.pool import RenderingPool
from notifier.rendering.source import LAYOUTS, TemplateSource
from notifier.templating import layout, store
from notifier.templating.assets import files as asset_files
from notifier.templating.deed import record_layout
from notifier.templating.folder import base, file_diff, files, standing
from notifier.templating.folder.base import Base, Origin
from notifier.templating.folder.file_diff import Difference
from notifier.templating.folder.problem import FileError
from notifier.templating.folder.standing import Standing
from notifier.templating.gate.gate import Gate
from notifier.templating.layout import LayoutView
from notifier.templating.publish import Candidate, Wanted, publish_template
from notifier.templating.store import Publication

FROM_FILES = frozenset({"cli", "demo"})
"""Actors that have only ever published files of a release: the demo's start, and pushes of before they had a name."""


class Change(StrEnum):
    """What pushing a template or a layout did, or would do."""

    CREATED = "created"
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"  # only what is new was wanted
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """One template or layout after a push."""

    slug: str  # or the layout's name
    number: int  # of the version, or the layout's revision; of a dry run: the one that it would be
    change: Change
    why: str = ""  # it was refused
    difference: Difference | None = field(default=None, compare=False)  # to what stands there; None: no need to say


class PushRefusedError(NotifierError):
    """Somebody has changed what these files would replace; nothing was pushed."""

    def __init__(self, refused: Iterable[Pushed]) -> None:
        self.refused = tuple(refused)
        super().__init__("nothing was pushed: " + "; ".join(f"{one.slug}: {one.why}" for one in self.refused))


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
    by: str  # actor; what it has published itself it may replace
    note: str = ""  # why
    only_new: bool = False  # at the start of demo and Compose: never touch what exists
    overwrite: bool = False  # replace newer edits and drafts as well
    dry_run: bool = False  # only say what would change
    gate: Gate | None = None
    force_reason: str = ""  # publish though callers would break
    progress: Callable[[str, int], None] = field(default=lambda _slug, _of: None)  # told before each check

    async def run(self, root: Path, slugs: Sequence[str]) -> list[Pushed]:
        """Publish the named templates and the layouts that they use; layouts come first, equal ones are not named.

        Raises `FileError`, `TemplateError` and `PushRefusedError`, each before anything is written; a dry run gives
        what is refused back instead.
        """
        sources, kept = _read(root, slugs), base.read(root)
        async with self.database.read() as connection:
            seen = await _Stand.of(connection, sources, lock=False)
        plan = self._plan(sources, seen, kept)
        refused = [one for one in plan if one.change is Change.REFUSED]
        if refused and not self.dry_run:
            raise PushRefusedError(refused)
        candidates = await self._checked(plan, sources)
        if self.dry_run:
            return plan
        async with self.database.write() as connection:
            if await _Stand.of(connection, sources, lock=True) != seen:
                said = "it was changed while this push was running; try again"
                raise PushRefusedError([Pushed(slug="a template", number=0, change=Change.REFUSED, why=said)])
            await self._write(connection, root, plan, sources, candidates)
        if kept.kept and not self.only_new:
            base.write(root, _after(kept, sources, plan))
        return plan

    async def _write(
        self,
        connection: AsyncConnection,
        root: Path,
        plan: Sequence[Pushed],
        sources: Mapping[str, TemplateSource],
        candidates: Mapping[str, Candidate],
    ) -> None:
        actor = Doer(actor=self.by, at=self.clock.now())
        changed = [one.slug for one in plan if one.change in (Change.CREATED, Change.PUBLISHED)]
        numbers = {one.slug: one.number for one in plan}
        for name in [name for name in changed if name.startswith(LAYOUTS)]:
            text, revision = _layouts(sources)[name], numbers[name] - 1
            await layout.write_layout(connection, name, text, revision=revision, actor=actor)
            if not self.only_new:
                await record_layout(connection, Action.LAYOUT_SAVED, name, actor, revision=revision + 1)
        for slug in [slug for slug in changed if slug in candidates]:
            candidate = candidates[slug]
            if self.only_new:  # what a start publishes is nobody's action: there is no audit record
                publication = Publication(by=self.by, at=actor.at, note=self.note)
                await store.publish(connection, slug, candidate.source, candidate.checked, publication)
            else:
                await publish_template(connection, candidate, actor=actor)
            await asset_files.push(connection, root, candidate.source.assets, actor=actor)

    def _plan(self, sources: Mapping[str, TemplateSource], seen: "_Stand", kept: Base) -> list[Pushed]:
        shared = [
            self._layout(name, text, seen.layouts.get(name), kept.layouts.get(name))
            for name, text in sorted(_layouts(sources).items())
        ]
        changed = [one for one in shared if one.change is not Change.UNCHANGED]
        return changed + [
            self._template(seen.templates[slug], source, kept.templates.get(slug)) for slug, source in sources.items()
        ]

    def _layout(self, name: str, text: str, there: LayoutView | None, origin: str | None) -> Pushed:
        if there is None:
            return Pushed(slug=name, number=1, change=Change.CREATED)
        if there.text == text:
            return Pushed(slug=name, number=there.revision, change=Change.UNCHANGED)
        if self.only_new:
            return Pushed(slug=name, number=there.revision, change=Change.KEPT)
        why = ""
        if not self.overwrite and not self._ours(there.updated_by) and standing.layout_hash(there.text) != origin:
            moment = f"{there.updated_at:%Y-%m-%d at %H:%M} UTC"
            why = f"{there.updated_by} changed it on {moment} (revision {there.revision})"
        difference = file_diff.of_texts({name: there.text}, {name: text})
        change = Change.REFUSED if why else Change.PUBLISHED
        number = there.revision if why else there.revision + 1
        return Pushed(slug=name, number=number, change=change, why=why, difference=difference)

    def _template(self, there: Standing, source: TemplateSource, origin: Origin | None) -> Pushed:
        slug, known = there.slug, bool(there.number or there.revision)
        if there.has(source.content_hash()) and not there.deleted_at:
            return Pushed(slug=slug, number=there.number, change=Change.UNCHANGED)
        if self.only_new and known:
            return Pushed(slug=slug, number=there.number, change=Change.KEPT)
        difference = file_diff.between(there.source, source) if known else None
        if not self.overwrite and (why := self._newer(there, source, origin)):
            return Pushed(slug=slug, number=there.number, change=Change.REFUSED, why=why, difference=difference)
        change = Change.PUBLISHED if there.number else Change.CREATED
        return Pushed(slug=slug, number=there.number + 1, change=change, difference=difference)

    def _newer(self, there: Standing, source: TemplateSource, origin: Origin | None) -> str:
        """Why what stands there is more than these files knew; empty if it is not."""
        if there.deleted_at:
            return f"it was deleted on {there.deleted_at:%Y-%m-%d at %H:%M} UTC"
        if there.draft is not None:
            draft = standing.own_hash(there.draft)
            if draft not in (standing.own_hash(source), origin.files if origin else None):
                return f"there is {there.draft_text}, which would be lost"
        if not there.number or self._ours(there.published_by) or (origin and there.has(origin.hash)):
            return ""
        came = f"came from version {origin.number}" if origin else "are not known to have come from it"
        return f"it is at {there.version}; these files {came}"

    def _ours(self, actor: str) -> bool:
        return actor == self.by or actor in FROM_FILES

    async def _checked(self, plan: Sequence[Pushed], sources: Mapping[str, TemplateSource]) -> dict[str, Candidate]:
        """Check all that is to be published, or was refused and might be."""
        changes = {one.slug: one.change for one in plan if one.change not in (Change.UNCHANGED, Change.KEPT)}
        candidates = {}
        for slug in [slug for slug in changes if slug in sources]:
            self.progress(slug, len(changes))
            checked_source, report = await checked(self.pool, slug, sources[slug]), None
            if self.gate and not self.only_new and changes[slug] is not Change.CREATED:
                report = await self.gate.look(slug, sources[slug], checked_source)
                if report.blocks and not self.force_reason:
                    raise TemplateError(slug, [f"callers would break: {reason}" for reason in report.reasons])
            request = Wanted(slug=slug, revision=None, note=self.note, force_reason=self.force_reason)
            candidates[slug] = Candidate(request=request, source=sources[slug], checked=checked_source, report=report)
        return candidates


@dataclass(frozen=True, kw_only=True)
class _Stand:
    """What stands in the database of what is pushed."""

    templates: dict[str, Standing]
    layouts: dict[str, LayoutView]

    @classmethod
    async def of(cls, connection: AsyncConnection, sources: Iterable[str], *, lock: bool) -> "_Stand":
        found = await standing.look(connection, list(sources), lock=lock)
        return cls(templates=found, layouts={one.name: one for one in await layout.every(connection)})


def _layouts(sources: Mapping[str, TemplateSource]) -> dict[str, str]:
    """The layouts that the sources use."""
    return {
        name: text for source in sources.values() for name, text in source.files.items() if name.startswith(LAYOUTS)
    }


def _after(kept: Base, sources: Mapping[str, TemplateSource], plan: Sequence[Pushed]) -> Base:
    """What the files came from, now that they are what stands there."""
    origins = {
        one.slug: Origin(
            number=one.number,
            hash=sources[one.slug].content_hash(),
            files=standing.own_hash(sources[one.slug]),
        )
        for one in plan
        if one.slug in sources
    }
    hashes = {name: standing.layout_hash(text) for name, text in _layouts(sources).items()}
    return Base(templates=kept.templates | origins, layouts=kept.layouts | hashes, kept=True)


def _read(root: Path, slugs: Sequence[str]) -> dict[str, TemplateSource]:
    """All sources, or one `TemplateError` per unreadable template, raised together as the first."""
    found, failed = {}, []
    for slug in slugs:
        try:
            found[slug] = files.read(root, slug)
        except FileError as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise TemplateError(", ".join(e.slug for e in failed), [f"{e.slug}: {p}" for e in failed for p in e.problems])
    return found
