"""Pull templates from the database into files, without losing edits in the folder.

A template that was edited on both sides is a conflict: then nothing at all is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from notifier.errors import NotFoundError
from notifier.mail.mail_parts import find_image_names
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import layout_store, source_diff, template_store, validation
from notifier.templating.layout_store import LayoutView
from notifier.templating.sync import asset_files, sync_record, template_files
from notifier.templating.sync.asset_files import ImageFile
from notifier.templating.sync.stored_templates import StoredTemplates
from notifier.templating.sync.sync_record import BaseRecord, FileOrigin, PullChange, SyncRefusedError, SyncResult
from notifier.templating.sync.template_files import TemplateFileError
from notifier.templating.template_store import TemplateState, select_own_parts

WRITTEN = (PullChange.CREATED, PullChange.UPDATED)


@dataclass(frozen=True, kw_only=True)
class _KnownHashes:
    """Hashes of the sources that the files may have come from."""

    hashes: tuple[str, ...]
    is_recorded: bool  # by `_base.json`; else these are the hashes of all old versions


@dataclass(frozen=True, kw_only=True)
class PullPlan:
    """What a pull is going to write into a folder, and the images that the folder lacks for it."""

    results: list[SyncResult]
    sources: dict[str, TemplateSource]
    layouts: dict[str, LayoutView]
    images: set[str]
    record: BaseRecord  # as it will be


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A pull of templates into a folder."""

    draft: bool = False  # pull drafts where they exist
    overwrite: bool = False  # replace files that were edited in the folder

    def plan(self, root: Path, slugs: Sequence[str] | None, stored: StoredTemplates) -> PullPlan:
        """Plan what is written for the named templates, or for all, and for the layouts that they use.

        `stored` has the named templates, or all. Raises `NotFoundError` for a name that is in neither place.
        """
        record = sync_record.read_base(root)
        names = list(stored.states) if slugs is None else list(slugs)
        unknown = [slug for slug in slugs or () if not stored.get_state(slug).is_known and not (root / slug).is_dir()]
        if unknown:
            raise NotFoundError(f"there is no template {', '.join(unknown)}")
        if slugs is None:  # report templates that are no longer in the database
            names += [slug for slug in record.templates if slug not in stored.states]
        states = {slug: stored.get_state(slug) for slug in sorted(names)}
        sources = {
            slug: source
            for slug, state in states.items()
            if (source := state.select_source(draft=self.draft)) is not None
        }
        layouts = stored.find_layouts()
        if slugs is not None:
            layouts = {name: layouts[name] for name in _list_used_layouts(sources, layouts)}
        results = [self._plan_layout(root, layouts[name], record.layouts.get(name)) for name in sorted(layouts)]
        results = [result for result in results if result.change is not PullChange.UNCHANGED]
        for slug, state in states.items():
            origin = record.templates.get(slug)
            hashes = [origin.files] if origin else stored.earlier.get(slug, ())
            before = _KnownHashes(hashes=tuple(hashes), is_recorded=origin is not None)
            if slug in sources or origin or (root / slug).is_dir():
                results.append(self._plan_template(root, state, sources.get(slug), before))
        return PullPlan(
            results=results,
            sources=sources,
            layouts=layouts,
            images=self._list_images(root, results, sources),
            record=_update_base(record, results, states, sources, layouts),
        )

    def write(self, root: Path, plan: PullPlan, images: Mapping[str, ImageFile]) -> None:
        """Write the plan, all or nothing. Raises `SyncRefusedError`."""
        if refused := [result for result in plan.results if result.change is PullChange.REFUSED]:
            raise SyncRefusedError("nothing was written", refused)
        root.mkdir(parents=True, exist_ok=True)
        for slug in [result.slug for result in plan.results if result.change in WRITTEN]:
            if slug in plan.layouts:
                template_files.write_file(root, slug, plan.layouts[slug].text)
            else:
                template_files.write_template(root, slug, plan.sources[slug])
        for name, image in sorted(images.items()):
            asset_files.write_image(root, name, image)
        sync_record.write_base(root, plan.record)

    # -- details, in call order -------------------------------------------------------------------

    def _plan_template(
        self, root: Path, state: TemplateState, source: TemplateSource | None, before: _KnownHashes
    ) -> SyncResult:
        slug = state.slug
        pulled = partial(SyncResult, slug=slug, number=state.number)
        if source is None:
            return pulled(change=PullChange.GONE, why=_explain_gone(state))
        if odd := [name for name in source.files if not name.startswith(LAYOUTS) and not validation.is_part_name(name)]:
            return pulled(change=PullChange.REFUSED, why=f"{odd[0]!r} has no place in a folder")
        if not (root / slug).exists():
            return pulled(change=PullChange.CREATED)
        try:
            local = select_own_parts(template_files.read_template(root, slug))
        except TemplateFileError as error:
            why = f"its files cannot be read, so they may have been edited: {error.problems[0]}"
            return pulled(change=PullChange.UPDATED) if self.overwrite else pulled(change=PullChange.REFUSED, why=why)
        change = self._decide_change(local.content_hash(), sync_record.hash_own_parts(source), before)
        stored = state.draft_text if self.draft and state.draft else state.version_text
        why = f"its files were edited, and the database has {stored}" if change is PullChange.REFUSED else ""
        return pulled(
            change=change,
            why=why,
            differs=source_diff.summarize_difference(local, select_own_parts(source)).lines,
        )

    def _decide_change(self, local_hash: str, stored_hash: str, before: _KnownHashes) -> PullChange:
        if local_hash == stored_hash:
            return PullChange.UNCHANGED
        if self.overwrite or local_hash in before.hashes:
            return PullChange.UPDATED
        return PullChange.AHEAD if before.is_recorded and stored_hash in before.hashes else PullChange.REFUSED

    def _plan_layout(self, root: Path, stored: LayoutView, origin: str | None) -> SyncResult:
        name, number = stored.name, stored.revision
        if not layout_store.LAYOUT_NAME.fullmatch(name):
            return SyncResult(slug=name, number=number, change=PullChange.REFUSED, why="it has no place in a folder")
        path = root / name
        if not path.exists():
            return SyncResult(slug=name, number=number, change=PullChange.CREATED)
        content = path.read_bytes()
        texts = {name: content.decode(errors="replace")}, {name: stored.text}
        before = _KnownHashes(hashes=(origin,) if origin else (), is_recorded=origin is not None)
        change = self._decide_change(sha256(content).hexdigest(), sync_record.hash_layout(stored.text), before)
        why = ""
        if change is PullChange.REFUSED:
            moment = f"{stored.updated_at:%Y-%m-%d at %H:%M} UTC"
            why = f"the file was edited, and {stored.updated_by} changed the layout in the database on {moment}"
        return SyncResult(
            slug=name, number=number, change=change, why=why, differs=source_diff.summarize_texts(*texts).lines
        )

    def _list_images(self, root: Path, plan: Sequence[SyncResult], sources: Mapping[str, TemplateSource]) -> set[str]:
        """List the images that the written templates name, less those that the folder has."""
        written = [sources[result.slug] for result in plan if result.change in WRITTEN and result.slug in sources]
        names = {name for source in written for name in find_image_names(source.files.values())}
        return names if self.overwrite else asset_files.find_missing_images(root, names)


def _list_used_layouts(sources: Mapping[str, TemplateSource], layouts: Mapping[str, LayoutView]) -> set[str]:
    texts = {name: view.text for name, view in layouts.items()}
    return {
        name
        for source in sources.values()
        for name in layout_store.find_used_layouts(select_own_parts(source).files, texts.get)
    }


def _explain_gone(state: TemplateState) -> str:
    if state.deleted_at:
        return f"it was deleted in the database on {state.deleted_at:%Y-%m-%d at %H:%M} UTC; its files stay"
    if state.draft is not None:
        return f"it was never published; there is {state.draft_text} (--draft)"
    return "the database has no such template; its files stay"


def _update_base(
    record: BaseRecord,
    plan: Sequence[SyncResult],
    states: Mapping[str, TemplateState],
    sources: Mapping[str, TemplateSource],
    layouts: Mapping[str, LayoutView],
) -> BaseRecord:
    """Return the new record; templates that are ahead keep their origin, and those that are gone lose it."""
    templates, hashes = dict(record.templates), dict(record.layouts)
    for slug, change in [(result.slug, result.change) for result in plan]:
        if change is PullChange.GONE:
            templates.pop(slug, None)
        elif slug in sources and change is not PullChange.AHEAD:
            state = states[slug]
            version_hash = template_store.hash_texts(state.source) if state.source else ""
            own_hash = sync_record.hash_own_parts(sources[slug])
            templates[slug] = FileOrigin(number=state.number, hash=version_hash, files=own_hash)
    ahead = {result.slug for result in plan if result.change is PullChange.AHEAD}
    hashes |= {name: sync_record.hash_layout(view.text) for name, view in layouts.items() if name not in ahead}
    return replace(record, templates=templates, layouts=hashes)
