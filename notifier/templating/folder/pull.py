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
    AHEAD = "ahead"  # edited here, and not there
    GONE = "gone"  # there is nothing any more that these files came from
    REFUSED = "refused"  # edited here and there


WRITTEN = (Fetch.CREATED, Fetch.UPDATED)


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """One template or layout after a pull."""

    slug: str  # or the layout's name
    number: int  # of the version there, or the layout's revision
    change: Fetch
    why: str = ""
    difference: Difference | None = field(default=None, compare=False)  # from the files here to what stands there


@dataclass(frozen=True, kw_only=True)
class _Before:
    """What the files here may have come from."""

    hashes: tuple[str, ...]
    sure: bool  # it is on record, and not just something that stood there once


class PullRefusedError(NotifierError):
    """Files that were edited here would be overwritten; nothing was written."""

    def __init__(self, refused: Iterable[Pulled]) -> None:
        self.refused = tuple(refused)
        super().__init__("nothing was written: " + "; ".join(f"{one.slug}: {one.why}" for one in self.refused))


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A pull of templates into a folder."""

    database: Database
    draft: bool = False  # the drafts, where there are some
    overwrite: bool = False  # lose what was edited here
    dry_run: bool = False  # only say what would change

    async def run(self, root: Path, slugs: Sequence[str] | None) -> list[Pulled]:
        """Write the named templates, or all, and the layouts that they use.

        Raises `PullRefusedError`, and `NotFoundError` for a name that is neither here nor there.
        """
        kept = base.read(root)
        async with self.database.read() as connection:
            stand = await standing.look(connection, slugs)
            if unknown := [slug for slug in slugs or () if not _known(stand[slug]) and not (root / slug).is_dir()]:
                raise NotFoundError(f"there is no template {', '.join(unknown)}")
            if slugs is None:  # what came from there and is there no longer shall be told
                stand |= {slug: Standing(slug=slug) for slug in kept.templates if slug not in stand}
            there = await standing.layouts(connection, stand.values())
            unsure = [slug for slug in stand if slug not in kept.templates and (root / slug).is_dir()]
            past = await standing.history(connection, unsure)
        wanted = {slug: one.wanted(draft=self.draft) for slug, one in stand.items()}
        found = {slug: source for slug, source in wanted.items() if source is not None}
        names = there if slugs is None else _used(found, there)
        plan = [self._layout(root, there[name], kept.layouts.get(name)) for name in sorted(names)]
        plan = [one for one in plan if one.change is not Fetch.UNCHANGED]
        for slug in sorted(stand):
            origin = kept.templates.get(slug)
            known = [origin.files] if origin else map(standing.own_hash, past.get(slug, {}).values())
            before = _Before(hashes=tuple(known), sure=origin is not None)
            if slug in found or origin or (root / slug).is_dir():
                plan.append(self._template(root, stand[slug], found.get(slug), before))
        refused = [one for one in plan if one.change is Fetch.REFUSED]
        if self.dry_run:
            return plan
        if refused:
            raise PullRefusedError(refused)
        self._write(root, plan, found, {name: there[name] for name in names})
        async with self.database.read() as connection:
            await asset_files.pull(connection, root, self._images(root, plan, found))
        base.write(root, _after(kept, plan, stand, found, {name: there[name] for name in names}))
        return plan

    def _template(self, root: Path, there: Standing, source: TemplateSource | None, before: "_Before") -> Pulled:
        slug = there.slug
        pulled = partial(Pulled, slug=slug, number=there.number)
        if source is None:
            return pulled(change=Fetch.GONE, why=_gone(there))
        if odd := [name for name in source.files if not name.startswith(LAYOUTS) and not form.has_place(name)]:
            return pulled(change=Fetch.REFUSED, why=f"{odd[0]!r} has no place in a folder")
        if not (root / slug).exists():
            return pulled(change=Fetch.CREATED)
        try:
            here = draft.own(files.read(root, slug))
        except FileError as error:
            why = f"its files cannot be read, so that nobody knows whether they were edited here: {error.problems[0]}"
            return pulled(change=Fetch.UPDATED) if self.overwrite else pulled(change=Fetch.REFUSED, why=why)
        change = self._change(here.content_hash(), standing.own_hash(source), before)
        what = there.draft_text if self.draft and there.draft else there.version
        why = f"it was edited here, and there is {what}" if change is Fetch.REFUSED else ""
        return pulled(change=change, why=why, difference=file_diff.between(here, draft.own(source)))

    def _change(self, here: str, there: str, before: "_Before") -> Fetch:
        if here == there:
            return Fetch.UNCHANGED
        if self.overwrite or here in before.hashes:
            return Fetch.UPDATED
        return Fetch.AHEAD if before.sure and there in before.hashes else Fetch.REFUSED

    def _layout(self, root: Path, there: LayoutView, origin: str | None) -> Pulled:
        name, number = there.name, there.revision
        if not layout.NAME.fullmatch(name):
            return Pulled(slug=name, number=number, change=Fetch.REFUSED, why="it has no place in a folder")
        path = root / name
        if not path.exists():
            return Pulled(slug=name, number=number, change=Fetch.CREATED)
        octets = path.read_bytes()
        here = octets.decode(errors="replace")
        difference = file_diff.of_texts({name: here}, {name: there.text})
        before = _Before(hashes=(origin,) if origin else (), sure=origin is not None)
        change = self._change(sha256(octets).hexdigest(), standing.layout_hash(there.text), before)
        moment = f"{there.updated_at:%Y-%m-%d at %H:%M} UTC"
        why = f"it was edited here, and {there.updated_by} changed it there on {moment}"
        why = why if change is Fetch.REFUSED else ""
        return Pulled(slug=name, number=number, change=change, why=why, difference=difference)

    def _write(
        self,
        root: Path,
        plan: Sequence[Pulled],
        found: Mapping[str, TemplateSource],
        layouts: Mapping[str, LayoutView],
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        for one in plan:
            if one.change not in WRITTEN:
                continue
            if one.slug in layouts:
                folder.put(root, one.slug, layouts[one.slug].text)
            else:
                folder.write(root, one.slug, found[one.slug])

    def _images(self, root: Path, plan: Sequence[Pulled], found: Mapping[str, TemplateSource]) -> set[str]:
        """The images that the written templates name, less those that the folder has."""
        written = [found[one.slug] for one in plan if one.change in WRITTEN and one.slug in found]
        names = {name for source in written for name in images.named(source.files.values())}
        return names if self.overwrite else asset_files.missing(root, names)


def _known(there: Standing) -> bool:
    return bool(there.number or there.revision)


def _used(found: Mapping[str, TemplateSource], there: Mapping[str, LayoutView]) -> set[str]:
    texts = {name: view.text for name, view in there.items()}
    return {name for source in found.values() for name in layout.used(draft.own(source).files, texts.get)}


def _gone(there: Standing) -> str:
    if there.deleted_at:
        return f"it was deleted there on {there.deleted_at:%Y-%m-%d at %H:%M} UTC; its files are still here"
    if there.draft is not None:
        return f"it was never published; there is {there.draft_text} (--draft)"
    return "there is no such template; its files are still here"


def _after(
    kept: Base,
    plan: Sequence[Pulled],
    stand: Mapping[str, Standing],
    found: Mapping[str, TemplateSource],
    layouts: Mapping[str, LayoutView],
) -> Base:
    """What the files came from now; one that is ahead came from where it did, one that is gone from nowhere."""
    templates, hashes = dict(kept.templates), dict(kept.layouts)
    for one in plan:
        if one.change is Fetch.GONE:
            templates.pop(one.slug, None)
        elif one.slug in found and one.change is not Fetch.AHEAD:
            there = stand[one.slug]
            hash_ = standing.text_hash(there.source) if there.source else ""
            own = standing.own_hash(found[one.slug])
            templates[one.slug] = Origin(number=there.number, hash=hash_, files=own)
    ahead = {one.slug for one in plan if one.change is Fetch.AHEAD}
    hashes |= {name: standing.layout_hash(view.text) for name, view in layouts.items() if name not in ahead}
    return replace(kept, templates=templates, layouts=hashes)
