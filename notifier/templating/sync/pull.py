"""Pull templates from the database into files, and never lose what was edited in the folder.

A template that was edited on both sides is a conflict: then nothing at all is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from notifier.db.engine import Database
from notifier.errors import NotFoundError
from notifier.mail.mail_parts import find_image_names
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import draft_store, layout_store, source_diff, validation
from notifier.templating.layout_store import LayoutView
from notifier.templating.source_problem import TemplateFileError
from notifier.templating.sync import asset_files, base_record, database_state, template_files
from notifier.templating.sync import file_writer as folder
from notifier.templating.sync.base_record import BaseRecord, FileOrigin
from notifier.templating.sync.database_state import TemplateState
from notifier.templating.sync.sync_result import PullChange, SyncRefusedError, SyncResult

WRITTEN = (PullChange.CREATED, PullChange.UPDATED)


@dataclass(frozen=True, kw_only=True)
class _KnownHashes:
    """Hashes of what the files may have come from."""

    hashes: tuple[str, ...]
    is_recorded: bool  # `_base.json` says so; else they are only hashes of old versions


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A pull of templates into a folder."""

    database: Database
    draft: bool = False  # the drafts, where there are some
    overwrite: bool = False  # lose what was edited in the folder
    dry_run: bool = False  # only say what would change

    async def run(self, root: Path, slugs: Sequence[str] | None) -> list[SyncResult]:
        """Write the named templates, or all, and the layouts that they use.

        Raises `SyncRefusedError`, and `NotFoundError` for a name that is neither here nor there.
        """
        record = base_record.read_base(root)
        async with self.database.read() as connection:
            states = await database_state.get_states(connection, slugs)
            if unknown := [slug for slug in slugs or () if not _is_known(states[slug]) and not (root / slug).is_dir()]:
                raise NotFoundError(f"there is no template {', '.join(unknown)}")
            if slugs is None:  # report what the database does not have any more
                states |= {slug: TemplateState(slug=slug) for slug in record.templates if slug not in states}
            layouts = await database_state.get_layouts(connection, states.values())
            unrecorded = [slug for slug in states if slug not in record.templates and (root / slug).is_dir()]
            history = await database_state.get_version_sources(connection, unrecorded)
        sources = {
            slug: source
            for slug, state in states.items()
            if (source := state.select_source(draft=self.draft)) is not None
        }
        if slugs is not None:
            layouts = {name: layouts[name] for name in _list_used_layouts(sources, layouts)}
        plan = [self._plan_layout(root, layouts[name], record.layouts.get(name)) for name in sorted(layouts)]
        plan = [result for result in plan if result.change is not PullChange.UNCHANGED]
        for slug in sorted(states):
            origin = record.templates.get(slug)
            hashes = [origin.files] if origin else map(database_state.hash_own_parts, history.get(slug, {}).values())
            before = _KnownHashes(hashes=tuple(hashes), is_recorded=origin is not None)
            if slug in sources or origin or (root / slug).is_dir():
                plan.append(self._plan_template(root, states[slug], sources.get(slug), before))
        if self.dry_run:
            return plan
        if refused := [result for result in plan if result.change is PullChange.REFUSED]:
            raise SyncRefusedError("nothing was written", refused)
        self._write_files(root, plan, sources, layouts)
        async with self.database.read() as connection:
            await asset_files.pull_images(connection, root, self._list_images(root, plan, sources))
        base_record.write_base(root, _update_base(record, plan, states, sources, layouts))
        return plan

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
            local = draft_store.select_own_parts(template_files.read_template(root, slug))
        except TemplateFileError as error:
            why = f"its files cannot be read, so they may have been edited: {error.problems[0]}"
            return pulled(change=PullChange.UPDATED) if self.overwrite else pulled(change=PullChange.REFUSED, why=why)
        change = self._decide_change(local.content_hash(), database_state.hash_own_parts(source), before)
        stored = state.draft_text if self.draft and state.draft else state.version_text
        why = f"its files were edited, and the database has {stored}" if change is PullChange.REFUSED else ""
        return pulled(
            change=change,
            why=why,
            difference=source_diff.summarize_difference(local, draft_store.select_own_parts(source)),
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
        difference = source_diff.summarize_texts({name: content.decode(errors="replace")}, {name: stored.text})
        before = _KnownHashes(hashes=(origin,) if origin else (), is_recorded=origin is not None)
        change = self._decide_change(sha256(content).hexdigest(), database_state.hash_layout(stored.text), before)
        why = ""
        if change is PullChange.REFUSED:
            moment = f"{stored.updated_at:%Y-%m-%d at %H:%M} UTC"
            why = f"the file was edited, and {stored.updated_by} changed the layout in the database on {moment}"
        return SyncResult(slug=name, number=number, change=change, why=why, difference=difference)

    def _write_files(
        self,
        root: Path,
        plan: Sequence[SyncResult],
        sources: Mapping[str, TemplateSource],
        layouts: Mapping[str, LayoutView],
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for slug in [result.slug for result in plan if result.change in WRITTEN]:
            if slug in layouts:
                folder.write_file(root, slug, layouts[slug].text)
            else:
                folder.write_template(root, slug, sources[slug])

    def _list_images(self, root: Path, plan: Sequence[SyncResult], sources: Mapping[str, TemplateSource]) -> set[str]:
        """List the images that the written templates name, less those that the folder has."""
        written = [sources[result.slug] for result in plan if result.change in WRITTEN and result.slug in sources]
        names = {name for source in written for name in find_image_names(source.files.values())}
        return names if self.overwrite else asset_files.find_missing_images(root, names)


def _is_known(state: TemplateState) -> bool:
    return bool(state.number or state.revision)


def _list_used_layouts(sources: Mapping[str, TemplateSource], layouts: Mapping[str, LayoutView]) -> set[str]:
    texts = {name: view.text for name, view in layouts.items()}
    return {
        name
        for source in sources.values()
        for name in layout_store.find_used_layouts(draft_store.select_own_parts(source).files, texts.get)
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
            version_hash = database_state.hash_texts(state.source) if state.source else ""
            own_hash = database_state.hash_own_parts(sources[slug])
            templates[slug] = FileOrigin(number=state.number, hash=version_hash, files=own_hash)
    ahead = {result.slug for result in plan if result.change is PullChange.AHEAD}
    hashes |= {name: database_state.hash_layout(view.text) for name, view in layouts.items() if name not in ahead}
    return replace(record, templates=templates, layouts=hashes)
