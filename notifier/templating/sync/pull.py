"""From the database to files: what stands there is written octet for octet, and nothing that was edited here is lost.

A file that is edited here and there is a conflict: then nothing at all is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from hashlib import sha256
from pathlib import Path

from notifier.db.engine import Database
from notifier.errors import NotFoundError, NotifierError
from notifier.mail import pinned_images
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import difference_summary, draft_store, layout_store
from notifier.templating.difference_summary import SourceDifference
from notifier.templating.layout_store import LayoutView
from notifier.templating.source_problem import TemplateFileError
from notifier.templating.sync import asset_files, base_record, database_state, template_files
from notifier.templating.sync import file_writer as folder
from notifier.templating.sync.base_record import BaseRecord, FileOrigin
from notifier.templating.sync.database_state import TemplateState


class PullChange(StrEnum):
    """What pulling a template or a layout did, or would do."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    AHEAD = "ahead"  # edited here, and not there
    GONE = "gone"  # there is nothing any more that these files came from
    REFUSED = "refused"  # edited here and there


WRITTEN = (PullChange.CREATED, PullChange.UPDATED)


@dataclass(frozen=True, kw_only=True)
class PullResult:
    """One template or layout after a pull."""

    slug: str  # or the layout's name
    number: int  # of the version there, or the layout's revision
    change: PullChange
    why: str = ""
    difference: SourceDifference | None = field(default=None, compare=False)  # from the files here to what stands there


@dataclass(frozen=True, kw_only=True)
class _KnownHashes:
    """What the files here may have come from."""

    hashes: tuple[str, ...]
    is_recorded: bool  # it is on record, and not just something that stood there once


class PullRefusedError(NotifierError):
    """Files that were edited here would be overwritten; nothing was written."""

    def __init__(self, refused: Iterable[PullResult]) -> None:
        self.refused = tuple(refused)
        super().__init__("nothing was written: " + "; ".join(f"{one.slug}: {one.why}" for one in self.refused))


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A pull of templates into a folder."""

    database: Database
    draft: bool = False  # the drafts, where there are some
    overwrite: bool = False  # lose what was edited here
    dry_run: bool = False  # only say what would change

    async def run(self, root: Path, slugs: Sequence[str] | None) -> list[PullResult]:
        """Write the named templates, or all, and the layouts that they use.

        Raises `PullRefusedError`, and `NotFoundError` for a name that is neither here nor there.
        """
        kept = base_record.read_base(root)
        async with self.database.read() as connection:
            stand = await database_state.get_states(connection, slugs)
            if unknown := [slug for slug in slugs or () if not _is_known(stand[slug]) and not (root / slug).is_dir()]:
                raise NotFoundError(f"there is no template {', '.join(unknown)}")
            if slugs is None:  # what came from there and is there no longer shall be told
                stand |= {slug: TemplateState(slug=slug) for slug in kept.templates if slug not in stand}
            there = await database_state.get_layouts(connection, stand.values())
            unsure = [slug for slug in stand if slug not in kept.templates and (root / slug).is_dir()]
            past = await database_state.get_version_sources(connection, unsure)
        wanted = {slug: one.select_source(draft=self.draft) for slug, one in stand.items()}
        found = {slug: source for slug, source in wanted.items() if source is not None}
        names = there if slugs is None else _list_used_layouts(found, there)
        plan = [self._plan_layout(root, there[name], kept.layouts.get(name)) for name in sorted(names)]
        plan = [one for one in plan if one.change is not PullChange.UNCHANGED]
        for slug in sorted(stand):
            origin = kept.templates.get(slug)
            known = [origin.files] if origin else map(database_state.hash_own_parts, past.get(slug, {}).values())
            before = _KnownHashes(hashes=tuple(known), is_recorded=origin is not None)
            if slug in found or origin or (root / slug).is_dir():
                plan.append(self._plan_template(root, stand[slug], found.get(slug), before))
        refused = [one for one in plan if one.change is PullChange.REFUSED]
        if self.dry_run:
            return plan
        if refused:
            raise PullRefusedError(refused)
        self._write_files(root, plan, found, {name: there[name] for name in names})
        async with self.database.read() as connection:
            await asset_files.pull_images(connection, root, self._list_images(root, plan, found))
        base_record.write_base(root, _update_base(kept, plan, stand, found, {name: there[name] for name in names}))
        return plan

    def _plan_template(
        self, root: Path, there: TemplateState, source: TemplateSource | None, before: "_KnownHashes"
    ) -> PullResult:
        slug = there.slug
        pulled = partial(PullResult, slug=slug, number=there.number)
        if source is None:
            return pulled(change=PullChange.GONE, why=_explain_gone(there))
        if odd := [
            name for name in source.files if not name.startswith(LAYOUTS) and not template_files.is_part_name(name)
        ]:
            return pulled(change=PullChange.REFUSED, why=f"{odd[0]!r} has no place in a folder")
        if not (root / slug).exists():
            return pulled(change=PullChange.CREATED)
        try:
            here = draft_store.select_own_parts(template_files.read_template(root, slug))
        except TemplateFileError as error:
            why = f"its files cannot be read, so that nobody knows whether they were edited here: {error.problems[0]}"
            return pulled(change=PullChange.UPDATED) if self.overwrite else pulled(change=PullChange.REFUSED, why=why)
        change = self._decide_change(here.content_hash(), database_state.hash_own_parts(source), before)
        what = there.draft_text if self.draft and there.draft else there.version_text
        why = f"it was edited here, and there is {what}" if change is PullChange.REFUSED else ""
        return pulled(
            change=change,
            why=why,
            difference=difference_summary.summarize_difference(here, draft_store.select_own_parts(source)),
        )

    def _decide_change(self, here: str, there: str, before: "_KnownHashes") -> PullChange:
        if here == there:
            return PullChange.UNCHANGED
        if self.overwrite or here in before.hashes:
            return PullChange.UPDATED
        return PullChange.AHEAD if before.is_recorded and there in before.hashes else PullChange.REFUSED

    def _plan_layout(self, root: Path, there: LayoutView, origin: str | None) -> PullResult:
        name, number = there.name, there.revision
        if not layout_store.LAYOUT_NAME.fullmatch(name):
            return PullResult(slug=name, number=number, change=PullChange.REFUSED, why="it has no place in a folder")
        path = root / name
        if not path.exists():
            return PullResult(slug=name, number=number, change=PullChange.CREATED)
        octets = path.read_bytes()
        here = octets.decode(errors="replace")
        difference = difference_summary.summarize_texts({name: here}, {name: there.text})
        before = _KnownHashes(hashes=(origin,) if origin else (), is_recorded=origin is not None)
        change = self._decide_change(sha256(octets).hexdigest(), database_state.hash_layout(there.text), before)
        moment = f"{there.updated_at:%Y-%m-%d at %H:%M} UTC"
        why = f"it was edited here, and {there.updated_by} changed it there on {moment}"
        why = why if change is PullChange.REFUSED else ""
        return PullResult(slug=name, number=number, change=change, why=why, difference=difference)

    def _write_files(
        self,
        root: Path,
        plan: Sequence[PullResult],
        found: Mapping[str, TemplateSource],
        layouts: Mapping[str, LayoutView],
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for one in plan:
            if one.change not in WRITTEN:
                continue
            if one.slug in layouts:
                folder.write_file(root, one.slug, layouts[one.slug].text)
            else:
                folder.write_template(root, one.slug, found[one.slug])

    def _list_images(self, root: Path, plan: Sequence[PullResult], found: Mapping[str, TemplateSource]) -> set[str]:
        """The images that the written templates name, less those that the folder has."""
        written = [found[one.slug] for one in plan if one.change in WRITTEN and one.slug in found]
        names = {name for source in written for name in pinned_images.find_image_names(source.files.values())}
        return names if self.overwrite else asset_files.find_missing_images(root, names)


def _is_known(there: TemplateState) -> bool:
    return bool(there.number or there.revision)


def _list_used_layouts(found: Mapping[str, TemplateSource], there: Mapping[str, LayoutView]) -> set[str]:
    texts = {name: view.text for name, view in there.items()}
    return {
        name
        for source in found.values()
        for name in layout_store.find_used_layouts(draft_store.select_own_parts(source).files, texts.get)
    }


def _explain_gone(there: TemplateState) -> str:
    if there.deleted_at:
        return f"it was deleted there on {there.deleted_at:%Y-%m-%d at %H:%M} UTC; its files are still here"
    if there.draft is not None:
        return f"it was never published; there is {there.draft_text} (--draft)"
    return "there is no such template; its files are still here"


def _update_base(
    kept: BaseRecord,
    plan: Sequence[PullResult],
    stand: Mapping[str, TemplateState],
    found: Mapping[str, TemplateSource],
    layouts: Mapping[str, LayoutView],
) -> BaseRecord:
    """What the files came from now; one that is ahead came from where it did, one that is gone from nowhere."""
    templates, hashes = dict(kept.templates), dict(kept.layouts)
    for one in plan:
        if one.change is PullChange.GONE:
            templates.pop(one.slug, None)
        elif one.slug in found and one.change is not PullChange.AHEAD:
            there = stand[one.slug]
            hash_ = database_state.hash_texts(there.source) if there.source else ""
            own = database_state.hash_own_parts(found[one.slug])
            templates[one.slug] = FileOrigin(number=there.number, hash=hash_, files=own)
    ahead = {one.slug for one in plan if one.change is PullChange.AHEAD}
    hashes |= {name: database_state.hash_layout(view.text) for name, view in layouts.items() if name not in ahead}
    return replace(kept, templates=templates, layouts=hashes)
