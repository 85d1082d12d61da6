"""The files of a folder compared with the database, line by line."""

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
    """The texts on both sides, by file name below the folder."""

    there: dict[str, str]
    here: dict[str, str]

    def lines(self) -> Iterator[str]:
        """Yield a unified diff: a push would add the lines with a plus, and remove those with a minus."""
        return file_diff.unified(self.there, self.here, old_name=THERE, new_name=HERE)


async def between(
    connection: AsyncConnection, root: Path, slugs: Sequence[str] | None, *, drafts: bool = False
) -> Apart:
    """Compare the named templates, or all, with the layouts that they use. Raises `FileError`, `NotFoundError`."""
    states = await standing.look(connection, slugs)
    shared = await standing.layouts(connection, states.values())
    stored = {slug: source for slug, state in states.items() if (source := state.wanted(draft=drafts)) is not None}
    in_folder = {slug for slug in slugs or files.slugs(root) if (root / slug).is_dir()}
    if unknown := [slug for slug in slugs or () if slug not in stored and slug not in in_folder]:
        raise NotFoundError(f"there is no template {', '.join(unknown)}, neither in the database nor in the folder")
    local = {slug: files.read(root, slug) for slug in sorted(in_folder)}
    named = {name for source in local.values() for name in source.files if name.startswith(LAYOUTS)}
    layouts = {name: text for name, text in files.layouts(root).items() if slugs is None or name in named}
    compared = shared if slugs is None else [name for name in shared if name in layouts]
    return Apart(
        there=_texts(stored) | {name: shared[name].text for name in compared},
        here=_texts(local) | layouts,
    )


def _texts(sources: dict[str, TemplateSource]) -> dict[str, str]:
    return {
        f"{slug}/{name}": text
        for slug, source in sources.items()
        for name, text in file_diff.documents(draft.own(source)).items()
    }
