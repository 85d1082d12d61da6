"""The files of a folder against what stands in the database, line by line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import NotFoundError
from notifier.rendering.source import LAYOUTS, TemplateSource
from notifier.templating import draft
from notifier.templating.folder import file_diff, files, standing

THERE, HERE = "database", "files"


@dataclass(frozen=True, kw_only=True)
class Apart:
    """Two texts of everything that is compared: name below the folder → text."""

    there: dict[str, str]
    here: dict[str, str]

    def lines(self) -> Iterator[str]:
        """A unified diff: what a push would add has a plus, what it would take away a minus."""
        return file_diff.unified(self.there, self.here, old_name=THERE, new_name=HERE)


async def between(
    connection: AsyncConnection, root: Path, slugs: Sequence[str] | None, *, drafts: bool = False
) -> Apart:
    """The named templates, or all, with the layouts that they use. Raises `FileError`, `NotFoundError`."""
    stand = await standing.look(connection, slugs)
    shared = await standing.layouts(connection, stand.values())
    there = {slug: source for slug, one in stand.items() if (source := one.wanted(draft=drafts)) is not None}
    local = {slug for slug in slugs or files.slugs(root) if (root / slug).is_dir()}
    if unknown := [slug for slug in slugs or () if slug not in there and slug not in local]:
        raise NotFoundError(f"there is no template {', '.join(unknown)}, neither here nor there")
    here = {slug: files.read(root, slug) for slug in sorted(local)}
    named = {name for source in here.values() for name in source.files if name.startswith(LAYOUTS)}
    kept = {name: text for name, text in files.layouts(root).items() if slugs is None or name in named}
    wanted = shared if slugs is None else [name for name in shared if name in kept]
    return Apart(
        there=_texts(there) | {name: shared[name].text for name in wanted},
        here=_texts(here) | kept,
    )


def _texts(sources: dict[str, TemplateSource]) -> dict[str, str]:
    return {
        f"{slug}/{name}": text
        for slug, source in sources.items()
        for name, text in file_diff.documents(draft.own(source)).items()
    }
