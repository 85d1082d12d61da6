"""From files to the database: read, compare, check in the rendering pool, and publish what differs, all or nothing.

What stands there is replaced only if these files came from it, if the same actor pushed it, or if the caller says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import NotifierError, TemplateError
from notifier.rendering.pool import RenderingPool
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import difference_summary, layout_store, version_store
from notifier.templating.audit_records import record_layout
from notifier.templating.difference_summary import SourceDifference
from notifier.templating.gate.publish_gate import PublishGate
from notifier.templating.layout_store import LayoutView
from notifier.templating.publishing import PublishCandidate, PublishRequest, publish_template
from notifier.templating.source_problem import TemplateFileError
from notifier.templating.sync import asset_files, base_record, database_state, template_files
from notifier.templating.sync.base_record import BaseRecord, FileOrigin
from notifier.templating.sync.database_state import TemplateState
from notifier.templating.version_store import Publication

FILE_ACTORS = frozenset({"cli", "demo"})
"""Actors that have only ever published files of a release: the demo's start, and pushes of before they had a name."""


class PushChange(StrEnum):
    """What pushing a template or a layout did, or would do."""

    CREATED = "created"
    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    KEPT = "kept"  # only what is new was wanted
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class PushResult:
    """One template or layout after a push."""

    slug: str  # or the layout's name
    number: int  # of the version, or the layout's revision; of a dry run: the one that it would be
    change: PushChange
    why: str = ""  # it was refused
    difference: SourceDifference | None = field(
        default=None, compare=False
    )  # to what stands there; None: no need to say


class PushRefusedError(NotifierError):
    """Somebody has changed what these files would replace; nothing was pushed."""

    def __init__(self, refused: Iterable[PushResult]) -> None:
        self.refused = tuple(refused)
        super().__init__("nothing was pushed: " + "; ".join(f"{one.slug}: {one.why}" for one in self.refused))


async def check_source(pool: RenderingPool, slug: str, source: TemplateSource) -> SourceCheck:
    """The report of a source that can be published. Raises `TemplateError` if it cannot."""
    report = await pool.check(source)
    if report.blocking_messages:
        raise TemplateError(slug, report.blocking_messages)
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
    gate: PublishGate | None = None
    force_reason: str = ""  # publish though callers would break
    progress: Callable[[str, int], None] = field(default=lambda _slug, _of: None)  # told before each check

    async def run(self, root: Path, slugs: Sequence[str]) -> list[PushResult]:
        """Publish the named templates and the layouts that they use; layouts come first, equal ones are not named.

        Raises `FileError`, `TemplateError` and `PushRefusedError`, each before anything is written; a dry run gives
        what is refused back instead.
        """
        sources, kept = _read_sources(root, slugs), base_record.read_base(root)
        async with self.database.read() as connection:
            seen = await _DatabaseSnapshot.of(connection, sources, lock=False)
        plan = self._plan(sources, seen, kept)
        refused = [one for one in plan if one.change is PushChange.REFUSED]
        if refused and not self.dry_run:
            raise PushRefusedError(refused)
        candidates = await self._check_sources(plan, sources)
        if self.dry_run:
            return plan
        async with self.database.write() as connection:
            if await _DatabaseSnapshot.of(connection, sources, lock=True) != seen:
                said = "it was changed while this push was running; try again"
                raise PushRefusedError([PushResult(slug="a template", number=0, change=PushChange.REFUSED, why=said)])
            await self._write(connection, root, plan, sources, candidates)
        if kept.exists and not self.only_new:
            base_record.write_base(root, _update_base(kept, sources, plan))
        return plan

    async def _write(
        self,
        connection: AsyncConnection,
        root: Path,
        plan: Sequence[PushResult],
        sources: Mapping[str, TemplateSource],
        candidates: Mapping[str, PublishCandidate],
    ) -> None:
        actor = Actor(name=self.by, at=self.clock.now())
        changed = [one.slug for one in plan if one.change in (PushChange.CREATED, PushChange.PUBLISHED)]
        numbers = {one.slug: one.number for one in plan}
        for name in [name for name in changed if name.startswith(LAYOUTS)]:
            text, revision = _collect_layouts(sources)[name], numbers[name] - 1
            await layout_store.write_layout(connection, name, text, revision=revision, actor=actor)
            if not self.only_new:
                await record_layout(connection, AuditAction.LAYOUT_SAVED, name, actor, revision=revision + 1)
        for slug in [slug for slug in changed if slug in candidates]:
            candidate = candidates[slug]
            if self.only_new:  # what a start publishes is nobody's action: there is no audit record
                publication = Publication(by=self.by, at=actor.at, note=self.note)
                await version_store.write_version(connection, slug, candidate.source, candidate.checked, publication)
            else:
                await publish_template(connection, candidate, actor=actor)
            await asset_files.push_images(connection, root, candidate.source.assets, actor=actor)

    def _plan(
        self, sources: Mapping[str, TemplateSource], seen: "_DatabaseSnapshot", kept: BaseRecord
    ) -> list[PushResult]:
        shared = [
            self._plan_layout(name, text, seen.layouts.get(name), kept.layouts.get(name))
            for name, text in sorted(_collect_layouts(sources).items())
        ]
        changed = [one for one in shared if one.change is not PushChange.UNCHANGED]
        return changed + [
            self._plan_template(seen.templates[slug], source, kept.templates.get(slug))
            for slug, source in sources.items()
        ]

    def _plan_layout(self, name: str, text: str, there: LayoutView | None, origin: str | None) -> PushResult:
        if there is None:
            return PushResult(slug=name, number=1, change=PushChange.CREATED)
        if there.text == text:
            return PushResult(slug=name, number=there.revision, change=PushChange.UNCHANGED)
        if self.only_new:
            return PushResult(slug=name, number=there.revision, change=PushChange.KEPT)
        why = ""
        if (
            not self.overwrite
            and not self._is_ours(there.updated_by)
            and database_state.hash_layout(there.text) != origin
        ):
            moment = f"{there.updated_at:%Y-%m-%d at %H:%M} UTC"
            why = f"{there.updated_by} changed it on {moment} (revision {there.revision})"
        difference = difference_summary.summarize_texts({name: there.text}, {name: text})
        change = PushChange.REFUSED if why else PushChange.PUBLISHED
        number = there.revision if why else there.revision + 1
        return PushResult(slug=name, number=number, change=change, why=why, difference=difference)

    def _plan_template(self, there: TemplateState, source: TemplateSource, origin: FileOrigin | None) -> PushResult:
        slug, known = there.slug, bool(there.number or there.revision)
        if there.has_hash(source.content_hash()) and not there.deleted_at:
            return PushResult(slug=slug, number=there.number, change=PushChange.UNCHANGED)
        if self.only_new and known:
            return PushResult(slug=slug, number=there.number, change=PushChange.KEPT)
        difference = difference_summary.summarize_difference(there.source, source) if known else None
        if not self.overwrite and (why := self._explain_newer(there, source, origin)):
            return PushResult(slug=slug, number=there.number, change=PushChange.REFUSED, why=why, difference=difference)
        change = PushChange.PUBLISHED if there.number else PushChange.CREATED
        return PushResult(slug=slug, number=there.number + 1, change=change, difference=difference)

    def _explain_newer(self, there: TemplateState, source: TemplateSource, origin: FileOrigin | None) -> str:
        """Why what stands there is more than these files knew; empty if it is not."""
        if there.deleted_at:
            return f"it was deleted on {there.deleted_at:%Y-%m-%d at %H:%M} UTC"
        if there.draft is not None:
            draft = database_state.hash_own_parts(there.draft)
            if draft not in (database_state.hash_own_parts(source), origin.files if origin else None):
                return f"there is {there.draft_text}, which would be lost"
        if not there.number or self._is_ours(there.published_by) or (origin and there.has_hash(origin.hash)):
            return ""
        came = f"came from version {origin.number}" if origin else "are not known to have come from it"
        return f"it is at {there.version_text}; these files {came}"

    def _is_ours(self, actor: str) -> bool:
        return actor == self.by or actor in FILE_ACTORS

    async def _check_sources(
        self, plan: Sequence[PushResult], sources: Mapping[str, TemplateSource]
    ) -> dict[str, PublishCandidate]:
        """Check all that is to be published, or was refused and might be."""
        changes = {one.slug: one.change for one in plan if one.change not in (PushChange.UNCHANGED, PushChange.KEPT)}
        candidates = {}
        for slug in [slug for slug in changes if slug in sources]:
            self.progress(slug, len(changes))
            checked_source, report = await check_source(self.pool, slug, sources[slug]), None
            if self.gate and not self.only_new and changes[slug] is not PushChange.CREATED:
                report = await self.gate.try_source(slug, sources[slug], checked_source)
                if report.blocks and not self.force_reason:
                    raise TemplateError(slug, [f"callers would break: {reason}" for reason in report.reasons])
            request = PublishRequest(slug=slug, revision=None, note=self.note, force_reason=self.force_reason)
            candidates[slug] = PublishCandidate(
                request=request, source=sources[slug], checked=checked_source, report=report
            )
        return candidates


@dataclass(frozen=True, kw_only=True)
class _DatabaseSnapshot:
    """What stands in the database of what is pushed."""

    templates: dict[str, TemplateState]
    layouts: dict[str, LayoutView]

    @classmethod
    async def of(cls, connection: AsyncConnection, sources: Iterable[str], *, lock: bool) -> "_DatabaseSnapshot":
        found = await database_state.get_states(connection, list(sources), lock=lock)
        return cls(templates=found, layouts={one.name: one for one in await layout_store.list_layouts(connection)})


def _collect_layouts(sources: Mapping[str, TemplateSource]) -> dict[str, str]:
    """The layouts that the sources use."""
    return {
        name: text for source in sources.values() for name, text in source.files.items() if name.startswith(LAYOUTS)
    }


def _update_base(kept: BaseRecord, sources: Mapping[str, TemplateSource], plan: Sequence[PushResult]) -> BaseRecord:
    """What the files came from, now that they are what stands there."""
    origins = {
        one.slug: FileOrigin(
            number=one.number,
            hash=sources[one.slug].content_hash(),
            files=database_state.hash_own_parts(sources[one.slug]),
        )
        for one in plan
        if one.slug in sources
    }
    hashes = {name: database_state.hash_layout(text) for name, text in _collect_layouts(sources).items()}
    return BaseRecord(templates=kept.templates | origins, layouts=kept.layouts | hashes, exists=True)


def _read_sources(root: Path, slugs: Sequence[str]) -> dict[str, TemplateSource]:
    """All sources, or one `TemplateError` per unreadable template, raised together as the first."""
    found, failed = {}, []
    for slug in slugs:
        try:
            found[slug] = template_files.read_template(root, slug)
        except TemplateFileError as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise TemplateError(", ".join(e.slug for e in failed), [f"{e.slug}: {p}" for e in failed for p in e.problems])
    return found
