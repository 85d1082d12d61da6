"""Push templates from files into the database: check what differs and publish it, all or nothing.

A version in the database is replaced only if these files came from it, the same actor pushed it, or with `overwrite`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import TemplateError
from notifier.rendering.pool import RenderingPool
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import layout_store, source_diff, template_store, version_store
from notifier.templating.edit_rules import record_layout
from notifier.templating.layout_store import LayoutView
from notifier.templating.publish_gate import PublishGate
from notifier.templating.publishing import PublishCandidate, PublishRequest, publish_template
from notifier.templating.sync import asset_files, sync_record, template_files
from notifier.templating.sync.sync_record import BaseRecord, FileOrigin, PushChange, SyncRefusedError, SyncResult
from notifier.templating.sync.template_files import TemplateFileError
from notifier.templating.template_store import TemplateState
from notifier.templating.version_store import Publication

FILE_ACTORS = frozenset({"cli", "demo"})
"""Actors that only publish the files of a release: the start of the demo, and older releases of `push`."""


async def check_source(pool: RenderingPool, slug: str, source: TemplateSource) -> SourceCheck:
    """Check a source. Raises `TemplateError` if it cannot be published."""
    checked = await pool.check(source)
    if checked.blocking_messages:
        raise TemplateError(slug, checked.blocking_messages)
    return checked


@dataclass(frozen=True, kw_only=True)
class Push:
    """A push of template files into the database."""

    database: Database
    pool: RenderingPool
    clock: Clock
    by: str  # actor, who may replace their own versions
    note: str = ""  # why
    only_new: bool = False  # at the start of demo and Compose: never change what exists
    overwrite: bool = False  # replace newer edits and drafts as well
    dry_run: bool = False  # only report what would change
    gate: PublishGate | None = None
    force_reason: str = ""  # why it is published although callers would break
    progress: Callable[[str, int], None] = field(default=lambda _slug, _of: None)  # called before each check

    async def run(self, root: Path, slugs: Sequence[str]) -> list[SyncResult]:
        """Publish the named templates and the layouts that they use; layouts come first, equal ones are left out.

        Raises `TemplateFileError`, `TemplateError` and `SyncRefusedError`, each before anything is written; a dry run
        returns what is refused instead.
        """
        sources, record = _read_sources(root, slugs), sync_record.read_base(root)
        async with self.database.read() as connection:
            stored = await _load_stored(connection, list(sources), lock=False)
        plan = self._plan(sources, record, *stored)
        refused = [result for result in plan if result.change is PushChange.REFUSED]
        if refused and not self.dry_run:
            raise SyncRefusedError("nothing was pushed", refused)
        candidates = await self._check_sources(plan, sources)
        if self.dry_run:
            return plan
        async with self.database.write() as connection:
            if await _load_stored(connection, list(sources), lock=True) != stored:
                why = "it was changed while this push was running; try again"
                changed = SyncResult(slug="a template", number=0, change=PushChange.REFUSED, why=why)
                raise SyncRefusedError("nothing was pushed", [changed])
            await self._write(connection, root, plan, sources, candidates)
        if record.exists and not self.only_new:
            sync_record.write_base(root, _update_base_record(record, sources, plan))
        return plan

    def _plan(
        self,
        sources: Mapping[str, TemplateSource],
        record: BaseRecord,
        states: Mapping[str, TemplateState],
        layouts: Mapping[str, LayoutView],
    ) -> list[SyncResult]:
        shared = [
            self._plan_layout(name, text, layouts.get(name), record.layouts.get(name))
            for name, text in sorted(_collect_layouts(sources).items())
        ]
        changed = [result for result in shared if result.change is not PushChange.UNCHANGED]
        return changed + [
            self._plan_template(states[slug], source, record.templates.get(slug)) for slug, source in sources.items()
        ]

    def _plan_layout(self, name: str, text: str, stored: LayoutView | None, origin: str | None) -> SyncResult:
        if stored is None:
            return SyncResult(slug=name, number=1, change=PushChange.CREATED)
        if stored.text == text:
            return SyncResult(slug=name, number=stored.revision, change=PushChange.UNCHANGED)
        if self.only_new:
            return SyncResult(slug=name, number=stored.revision, change=PushChange.KEPT)
        why = ""
        may_replace = self.overwrite or self._is_ours(stored.updated_by)
        if not may_replace and sync_record.hash_layout(stored.text) != origin:
            moment = f"{stored.updated_at:%Y-%m-%d at %H:%M} UTC"
            why = f"{stored.updated_by} changed it on {moment} (revision {stored.revision})"
        difference = source_diff.summarize_texts({name: stored.text}, {name: text})
        change = PushChange.REFUSED if why else PushChange.PUBLISHED
        number = stored.revision if why else stored.revision + 1
        return SyncResult(slug=name, number=number, change=change, why=why, difference=difference)

    def _plan_template(self, state: TemplateState, source: TemplateSource, origin: FileOrigin | None) -> SyncResult:
        slug, number, is_known = state.slug, state.number, state.is_known
        if state.has_hash(source.content_hash()) and not state.deleted_at:
            return SyncResult(slug=slug, number=number, change=PushChange.UNCHANGED)
        if self.only_new and is_known:
            return SyncResult(slug=slug, number=number, change=PushChange.KEPT)
        difference = source_diff.summarize_difference(state.source, source) if is_known else None
        if not self.overwrite and (why := self._explain_newer(state, source, origin)):
            return SyncResult(slug=slug, number=number, change=PushChange.REFUSED, why=why, difference=difference)
        change = PushChange.PUBLISHED if number else PushChange.CREATED
        return SyncResult(slug=slug, number=number + 1, change=change, difference=difference)

    def _explain_newer(self, state: TemplateState, source: TemplateSource, origin: FileOrigin | None) -> str:
        """Explain which edits in the database are newer than the files; empty if there are none."""
        if state.deleted_at:
            return f"it was deleted on {state.deleted_at:%Y-%m-%d at %H:%M} UTC"
        if state.draft is not None:
            draft_hash = sync_record.hash_own_parts(state.draft)
            if draft_hash not in (sync_record.hash_own_parts(source), origin.files if origin else None):
                return f"there is {state.draft_text}, which would be lost"
        if not state.number or self._is_ours(state.published_by) or (origin and state.has_hash(origin.hash)):
            return ""
        came = f"came from version {origin.number}" if origin else "are not known to have come from it"
        return f"it is at {state.version_text}; these files {came}"

    def _is_ours(self, actor: str) -> bool:
        return actor == self.by or actor in FILE_ACTORS

    async def _check_sources(
        self, plan: Sequence[SyncResult], sources: Mapping[str, TemplateSource]
    ) -> dict[str, PublishCandidate]:
        """Check the sources that are to be published, and in a dry run also those that were refused."""
        unchanged = (PushChange.UNCHANGED, PushChange.KEPT)
        changes = {result.slug: result.change for result in plan if result.change not in unchanged}
        candidates = {}
        for slug in [slug for slug in changes if slug in sources]:
            self.progress(slug, len(changes))
            source, report = sources[slug], None
            checked = await check_source(self.pool, slug, source)
            if self.gate and not self.only_new and changes[slug] is not PushChange.CREATED:
                report = await self.gate.try_source(slug, source, checked)
                if report.blocks and not self.force_reason:
                    raise TemplateError(slug, [f"callers would break: {reason}" for reason in report.reasons])
            request = PublishRequest(slug=slug, revision=None, note=self.note, force_reason=self.force_reason)
            candidates[slug] = PublishCandidate(request=request, source=source, checked=checked, report=report)
        return candidates

    async def _write(
        self,
        connection: AsyncConnection,
        root: Path,
        plan: Sequence[SyncResult],
        sources: Mapping[str, TemplateSource],
        candidates: Mapping[str, PublishCandidate],
    ) -> None:
        actor = Actor(name=self.by, at=self.clock.now())
        layouts = _collect_layouts(sources)
        for result in plan:
            slug = result.slug
            if result.change not in (PushChange.CREATED, PushChange.PUBLISHED):
                continue
            if slug in layouts:
                revision = result.number - 1
                await layout_store.write_layout(connection, slug, layouts[slug], revision=revision, actor=actor)
                if not self.only_new:
                    await record_layout(connection, AuditAction.LAYOUT_SAVED, slug, actor, revision=result.number)
                continue
            candidate = candidates[slug]
            if self.only_new:  # published by the start of a process, not by a person: no audit record
                publication = Publication(by=self.by, at=actor.at, note=self.note)
                await version_store.write_version(connection, slug, candidate.source, candidate.checked, publication)
            else:
                await publish_template(connection, candidate, actor=actor)
            await asset_files.push_images(connection, root, candidate.source.assets, actor=actor)


async def _load_stored(
    connection: AsyncConnection, slugs: Sequence[str], *, lock: bool
) -> tuple[dict[str, TemplateState], dict[str, LayoutView]]:
    states = await template_store.get_states(connection, slugs, lock=lock)
    return states, {view.name: view for view in await layout_store.list_layouts(connection)}


def _collect_layouts(sources: Mapping[str, TemplateSource]) -> dict[str, str]:
    files = [item for source in sources.values() for item in source.files.items()]
    return {name: text for name, text in files if name.startswith(LAYOUTS)}


def _update_base_record(
    record: BaseRecord, sources: Mapping[str, TemplateSource], plan: Sequence[SyncResult]
) -> BaseRecord:
    """Return the new record: all files now equal the database."""
    origins = {
        result.slug: FileOrigin(
            number=result.number,
            hash=sources[result.slug].content_hash(),
            files=sync_record.hash_own_parts(sources[result.slug]),
        )
        for result in plan
        if result.slug in sources
    }
    hashes = {name: sync_record.hash_layout(text) for name, text in _collect_layouts(sources).items()}
    return BaseRecord(templates=record.templates | origins, layouts=record.layouts | hashes, exists=True)


def _read_sources(root: Path, slugs: Sequence[str]) -> dict[str, TemplateSource]:
    """Read all sources. Raises one `TemplateError` for all templates that cannot be read."""
    sources, errors = {}, []
    for slug in slugs:
        try:
            sources[slug] = template_files.read_template(root, slug)
        except TemplateFileError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        problems = [f"{error.slug}: {problem}" for error in errors for problem in error.problems]
        raise TemplateError(", ".join(error.slug for error in errors), problems)
    return sources
