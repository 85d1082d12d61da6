"""Pull templates from the database into files, and never lose what was edited in the folder.

A template that was edited on both sides is a conflict: then nothing at all is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from hashlib import sha256
from pathlib import Path

from notifier.db.engine import Database
from notifier.errors import NotFoundError, NotifierError
from notifier.rendering import images
from notifier.rendering.source import LAYOUTS, TemplateSource
from notifier.templating import draft, form, layout
from notifier.templating.assets import files as asset_files
from notifier.templating.folder import base, file_diff, files, standing
from notifier.templating.folder import write as folder
from notifier.templating.folder.base import Base, Origin
from notifier.templating.folder.file_diff import Difference
from notifier.templating.folder.problem import FileError
from notifier.templating.folder.standing import Standing
from notifier.templating.layout import LayoutView


class Fetch(StrEnum):
    """What pulling a template or a layout did, or would do."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    AHEAD = "ahead"  # edited in the folder only
    GONE = "gone"  # the database does not have it any more
    REFUSED = "refused"  # edited on both sides


WRITTEN = (Fetch.CREATED, Fetch.UPDATED)


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """One template or layout after a pull."""

    slug: str  # or the layout's name
    number: int  # of the version in the database, or the layout's revision
    change: Fetch
    why: str = ""
    difference: Difference | None = field(default=None, compare=False)  # from the folder to the database


@dataclass(frozen=True, kw_only=True)
class _Before:
    """Hashes of what the files may have come from."""

    hashes: tuple[str, ...]
    sure: bool  # `_base.json` says so; else they are only hashes of old versions


class PullRefusedError(NotifierError):
    """Edited files would be overwritten; nothing was written."""

    def __init__(self, refused: Iterable[Pulled]) -> None:
        self.refused = tuple(refused)
        super().__init__("nothing was written: " + "; ".join(f"{result.slug}: {result.why}" for result in self.refused))


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A pull of templates into a folder."""

    database: Database
    draft: bool = False  # the drafts, where there are some
    overwrite: bool = False  # lose what was edited in the folder
    dry_run: bool = False  # only say what would change

    async def run(self, root: Path, slugs: Sequence[str] | None) -> list[Pulled]:
        """Write the named templates, or all, and the layouts that they use.

        Raises `PullRefusedError`, and `NotFoundError` for a name that is neither here nor there.
        """
        record = base.read(root)
        async with self.database.read() as connection:
            states = await standing.look(connection, slugs)
            if unknown := [slug for slug in slugs or () if not _known(states[slug]) and not (root / slug).is_dir()]:
                raise NotFoundError(f"there is no template {', '.join(unknown)}")
            if slugs is None:  # report what the database does not have any more
                states |= {slug: Standing(slug=slug) for slug in record.templates if slug not in states}
            layouts = await standing.layouts(connection, states.values())
            unrecorded = [slug for slug in states if slug not in record.templates and (root / slug).is_dir()]
            history = await standing.history(connection, unrecorded)
        sources = {
            slug: source for slug, state in states.items() if (source := state.wanted(draft=self.draft)) is not None
        }
        if slugs is not None:
            layouts = {name: layouts[name] for name in _used(sources, layouts)}
        plan = [self._layout(root, layouts[name], record.layouts.get(name)) for name in sorted(layouts)]
        plan = [result for result in plan if result.change is not Fetch.UNCHANGED]
        for slug in sorted(states):
            origin = record.templates.get(slug)
            hashes = [origin.files] if origin else map(standing.own_hash, history.get(slug, {}).values())
            before = _Before(hashes=tuple(hashes), sure=origin is not None)
            if slug in sources or origin or (root / slug).is_dir():
                plan.append(self._template(root, states[slug], sources.get(slug), before))
        if self.dry_run:
            return plan
        if refused := [result for result in plan if result.change is Fetch.REFUSED]:
            raise PullRefusedError(refused)
        self._write(root, plan, sources, layouts)
        async with self.database.read() as connection:
            await asset_files.pull(connection, root, self._images(root, plan, sources))
        base.write(root, _after(record, plan, states, sources, layouts))
        return plan

    def _template(self, root: Path, state: Standing, source: TemplateSource | None, before: _Before) -> Pulled:
        slug = state.slug
        pulled = partial(Pulled, slug=slug, number=state.number)
        if source is None:
            return pulled(change=Fetch.GONE, why=_gone(state))
        if odd := [name for name in source.files if not name.startswith(LAYOUTS) and not form.has_place(name)]:
            return pulled(change=Fetch.REFUSED, why=f"{odd[0]!r} has no place in a folder")
        if not (root / slug).exists():
            return pulled(change=Fetch.CREATED)
        try:
            local = draft.own(files.read(root, slug))
        except FileError as error:
            why = f"its files cannot be read, so they may have been edited: {error.problems[0]}"
            return pulled(change=Fetch.UPDATED) if self.overwrite else pulled(change=Fetch.REFUSED, why=why)
        change = self._change(local.content_hash(), standing.own_hash(source), before)
        stored = state.draft_text if self.draft and state.draft else state.version
        why = f"its files were edited, and the database has {stored}" if change is Fetch.REFUSED else ""
        return pulled(change=change, why=why, difference=file_diff.between(local, draft.own(source)))

    def _change(self, local_hash: str, stored_hash: str, before: _Before) -> Fetch:
        if local_hash == stored_hash:
            return Fetch.UNCHANGED
        if self.overwrite or local_hash in before.hashes:
            return Fetch.UPDATED
        return Fetch.AHEAD if before.sure and stored_hash in before.hashes else Fetch.REFUSED

    def _layout(self, root: Path, stored: LayoutView, origin: str | None) -> Pulled:
        name, number = stored.name, stored.revision
        if not layout.NAME.fullmatch(name):
            return Pulled(slug=name, number=number, change=Fetch.REFUSED, why="it has no place in a folder")
        path = root / name
        if not path.exists():
            return Pulled(slug=name, number=number, change=Fetch.CREATED)
        content = path.read_bytes()
        difference = file_diff.of_texts({name: content.decode(errors="replace")}, {name: stored.text})
        before = _Before(hashes=(origin,) if origin else (), sure=origin is not None)
        change = self._change(sha256(content).hexdigest(), standing.layout_hash(stored.text), before)
        why = ""
        if change is Fetch.REFUSED:
            moment = f"{stored.updated_at:%Y-%m-%d at %H:%M} UTC"
            why = f"the file was edited, and {stored.updated_by} changed the layout in the database on {moment}"
        return Pulled(slug=name, number=number, change=change, why=why, difference=difference)

    def _write(
        self,
        root: Path,
        plan: Sequence[Pulled],
        sources: Mapping[str, TemplateSource],
        layouts: Mapping[str, LayoutView],
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for slug in [result.slug for result in plan if result.change in WRITTEN]:
            if slug in layouts:
                folder.put(root, slug, layouts[slug].text)
            else:
                folder.write(root, slug, sources[slug])

    def _images(self, root: Path, plan: Sequence[Pulled], sources: Mapping[str, TemplateSource]) -> set[str]:
        """List the images that the written templates name, less those that the folder has."""
        written = [sources[result.slug] for result in plan if result.change in WRITTEN and result.slug in sources]
        names = {name for source in written for name in images.named(source.files.values())}
        return names if self.overwrite else asset_files.missing(root, names)


def _known(state: Standing) -> bool:
    return bool(state.number or state.revision)


def _used(sources: Mapping[str, TemplateSource], layouts: Mapping[str, LayoutView]) -> set[str]:
    texts = {name: view.text for name, view in layouts.items()}
    return {name for source in sources.values() for name in layout.used(draft.own(source).files, texts.get)}


def _gone(state: Standing) -> str:
    if state.deleted_at:
        return f"it was deleted in the database on {state.deleted_at:%Y-%m-%d at %H:%M} UTC; its files stay"
    if state.draft is not None:
        return f"it was never published; there is {state.draft_text} (--draft)"
    return "the database has no such template; its files stay"


def _after(
    record: Base,
    plan: Sequence[Pulled],
    states: Mapping[str, Standing],
    sources: Mapping[str, TemplateSource],
    layouts: Mapping[str, LayoutView],
) -> Base:
    """Return the new record; templates that are ahead keep their origin, and those that are gone lose it."""
    templates, hashes = dict(record.templates), dict(record.layouts)
    for slug, change in [(result.slug, result.change) for result in plan]:
        if change is Fetch.GONE:
            templates.pop(slug, None)
        elif slug in sources and change is not Fetch.AHEAD:
            state = states[slug]
            version_hash = standing.text_hash(state.source) if state.source else ""
            own_hash = standing.own_hash(sources[slug])
            templates[slug] = Origin(number=state.number, hash=version_hash, files=own_hash)
    ahead = {result.slug for result in plan if result.change is Fetch.AHEAD}
    hashes |= {name: standing.layout_hash(view.text) for name, view in layouts.items() if name not in ahead}
    return replace(record, templates=templates, layouts=hashes)
