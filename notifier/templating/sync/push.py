"""Push templates from files into the database: check what differs and publish it, all or nothing.

A version in the database is replaced only if these files came from it, the same actor pushed it, or with `overwrite`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from pathlib import Path

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import Template
from notifier.errors import Fault, InvalidRequestError
from notifier.mail.mail_parts import find_image_names
from notifier.rendering.pool import RenderingPool
from notifier.rendering.preview_pool import EditorRenderer
from notifier.template_language.template_source import TemplateSource
from notifier.templating import edit_rules, layout_store, source_diff, template_store, validation, version_store
from notifier.templating.edit_rules import record_layout
from notifier.templating.layout_store import LayoutView
from notifier.templating.publish_gate import PublishGate
from notifier.templating.publishing import GateClosedError, PublishCandidate, PublishRequest, publish_template
from notifier.templating.sync import pushed_images, sync_record
from notifier.templating.sync.pushed_folder import (
    PushedFolder,
    collect_layouts,
    read_pushed_folder,
    update_base_record,
)
from notifier.templating.sync.pushed_images import PushedImage
from notifier.templating.sync.sync_record import BaseRecord, FileOrigin, PushChange, SyncRefusedError, SyncResult
from notifier.templating.template_store import TemplateState
from notifier.templating.version_store import Publication

FILE_ACTORS = frozenset({"cli", "demo"})
"""Actors that only publish the files of a release: the start of the demo, and older releases of `push`."""
_WRITTEN = (PushChange.CREATED, PushChange.PUBLISHED)
_Stored = tuple[dict[str, TemplateState], dict[str, LayoutView]]


@dataclass(frozen=True, kw_only=True)
class PushPlan:
    """What a push is going to write, and the state of the database that it was planned for."""

    results: list[SyncResult]
    sources: dict[str, TemplateSource]  # with their images
    candidates: dict[str, PublishCandidate]
    images: dict[str, PushedImage]
    stored: _Stored

    @property
    def changes_nothing(self) -> bool:
        """Whether the database is the same already."""
        return all(result.change not in _WRITTEN for result in self.results)


@dataclass(frozen=True, kw_only=True)
class Push:
    """A push of template files into the database."""

    database: Database
    pool: RenderingPool | EditorRenderer
    clock: Clock
    by: str  # actor, who may replace their own versions
    note: str = ""  # why
    only_new: bool = False  # at the start of demo and Compose: never change what exists
    overwrite: bool = False  # replace newer edits and drafts as well
    dry_run: bool = False  # only report what would change
    gate: PublishGate | None = None
    force_reason: str = ""  # why it is published although callers would break
    open_slot: Callable[[], AbstractAsyncContextManager[object]] = field(default=nullcontext)
    """Opens the slot of the person who pushes, for what the renderer does not bound itself."""

    async def run(self, root: Path, slugs: Sequence[str]) -> list[SyncResult]:
        """Publish the named templates of a folder on this host; raises as `examine`, before anything is written.

        With `only_new` there is no audit record: it is the start of a process, not the act of a person.
        """
        folder = read_pushed_folder(root, slugs)
        plan = await self.examine(folder)
        if self.dry_run:
            return plan.results
        async with self.database.write() as connection:
            actor = Actor(name=self.by, at=self.clock.now())
            await self.write(connection, plan, actor=actor, is_recorded=not self.only_new)
        if folder.record.exists and not self.only_new:
            sync_record.write_base(root, update_base_record(folder, plan.results))
        return plan.results

    async def examine(self, folder: PushedFolder) -> PushPlan:
        """Plan the push, and check what it would publish; layouts come first, equal ones are left out.

        Raises `SyncRefusedError`, `InvalidRequestError` and `GateClosedError`; a dry run returns what is refused.
        """
        images = await pushed_images.prepare_images(self.database.read, folder.images, self.open_slot)
        sources = {slug: _pin_images(source, images) for slug, source in folder.sources.items()}
        async with self.database.read() as connection:
            stored = await _load_stored(connection, list(sources), lock=False)
        results = self._plan(sources, folder.record, *stored)
        refused = [result for result in results if result.change is PushChange.REFUSED]
        if refused and not self.dry_run:
            raise SyncRefusedError("nothing was pushed", refused)
        candidates = await self._check_sources(results, sources)
        return PushPlan(results=results, sources=sources, candidates=candidates, images=images, stored=stored)

    async def write(
        self, connection: AsyncConnection, plan: PushPlan, *, actor: Actor, is_recorded: bool = True
    ) -> None:
        """Write the plan, unless the database has changed meanwhile.

        Raises `SyncRefusedError`, `StaleLayoutError`, `TooManyTemplatesError`.
        """
        if await _load_stored(connection, list(plan.sources), lock=True) != plan.stored:
            why = "it was changed while this push was running; try again"
            changed = SyncResult(slug="a template", number=0, change=PushChange.REFUSED, why=why)
            raise SyncRefusedError("nothing was pushed", [changed])
        if plan.changes_nothing:
            actor.record_no_change()
        layouts = collect_layouts(plan.sources)
        for result in [result for result in plan.results if result.change in _WRITTEN]:
            slug = result.slug
            if slug in layouts:
                revision = result.number - 1
                await layout_store.write_layout(connection, slug, layouts[slug], revision=revision, actor=actor)
                if is_recorded:
                    await record_layout(connection, AuditAction.LAYOUT_SAVED, slug, actor, revision=result.number)
                continue
            candidate = plan.candidates[slug]
            if result.change is PushChange.CREATED:
                await edit_rules.require_room(connection, Template)
            if is_recorded:
                await publish_template(connection, candidate, actor=actor)
            else:
                publication = Publication(by=self.by, at=actor.at, note=self.note)
                await version_store.write_version(connection, slug, candidate.source, candidate.checked, publication)
            shown = [(name, plan.images[name]) for name in candidate.source.assets]
            await pushed_images.write_images(connection, shown, actor=actor)

    # -- details, in call order -------------------------------------------------------------------

    def _plan(
        self,
        sources: Mapping[str, TemplateSource],
        record: BaseRecord,
        states: Mapping[str, TemplateState],
        layouts: Mapping[str, LayoutView],
    ) -> list[SyncResult]:
        shared = [
            self._plan_layout(name, text, layouts.get(name), record.layouts.get(name))
            for name, text in sorted(collect_layouts(sources).items())
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
        differs = source_diff.summarize_texts({name: stored.text}, {name: text}).lines
        change = PushChange.REFUSED if why else PushChange.PUBLISHED
        number = stored.revision if why else stored.revision + 1
        return SyncResult(slug=name, number=number, change=change, why=why, differs=differs)

    def _plan_template(self, state: TemplateState, source: TemplateSource, origin: FileOrigin | None) -> SyncResult:
        slug, number, is_known = state.slug, state.number, state.is_known
        if state.has_hash(source.content_hash()) and not state.deleted_at:
            return SyncResult(slug=slug, number=number, change=PushChange.UNCHANGED)
        if self.only_new and is_known:
            return SyncResult(slug=slug, number=number, change=PushChange.KEPT)
        differs = source_diff.summarize_difference(state.source, source).lines if is_known else ()
        if not self.overwrite and (why := self._explain_newer(state, source, origin)):
            return SyncResult(slug=slug, number=number, change=PushChange.REFUSED, why=why, differs=differs)
        change = PushChange.PUBLISHED if number else PushChange.CREATED
        return SyncResult(slug=slug, number=number + 1, change=change, differs=differs)

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
        """Check the sources that are to be published, and in a dry run also those that were refused.

        Raises `InvalidRequestError` with the faults of all of them.
        """
        unchanged = (PushChange.UNCHANGED, PushChange.KEPT)
        changes = {result.slug: result.change for result in plan if result.change not in unchanged}
        candidates, faults = {}, []
        for slug in [slug for slug in changes if slug in sources]:
            checked = await self.pool.check(sources[slug])
            own = validation.list_publish_faults(checked)
            faults += [Fault(f"/templates/{slug}{fault.pointer}", fault.code, fault.detail) for fault in own]
            request = PublishRequest(slug=slug, revision=None, note=self.note, force_reason=self.force_reason)
            candidates[slug] = PublishCandidate(request=request, source=sources[slug], checked=checked, report=None)
        if faults:
            raise InvalidRequestError(faults)
        for slug, candidate in candidates.items():
            if self.gate and not self.only_new and changes[slug] is not PushChange.CREATED:
                candidates[slug] = await self._pass_gate(self.gate, candidate)
        return candidates

    async def _pass_gate(self, gate: PublishGate, candidate: PublishCandidate) -> PublishCandidate:
        """Try the candidate on recent requests. Raises `GateClosedError`, unless there is a reason to publish it."""
        slug = candidate.request.slug
        async with self.open_slot():
            report = await gate.try_source(slug, candidate.source, candidate.checked)
        if report.blocks and not self.force_reason:
            reasons = "; ".join(f"callers would break: {reason}" for reason in report.reasons)
            raise GateClosedError(report.as_json(), f"template {slug}: {reasons}")
        return replace_fields(candidate, report=report)


def _pin_images(source: TemplateSource, images: Mapping[str, PushedImage]) -> TemplateSource:
    names = sorted(find_image_names(source.files.values()) & images.keys())
    return replace(source, assets={name: images[name].pinned for name in names})


async def _load_stored(connection: AsyncConnection, slugs: Sequence[str], *, lock: bool) -> _Stored:
    states = await template_store.get_states(connection, slugs, lock=lock)
    return states, {view.name: view for view in await layout_store.list_layouts(connection)}
