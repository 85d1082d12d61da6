"""The files of a folder compared with the database, line by line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import NotFoundError
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import draft_store, source_diff
from notifier.templating.sync import database_state, template_files

DATABASE_LABEL, FILES_LABEL = "database", "files"


@dataclass(frozen=True, kw_only=True)
class FolderDiff:
    """The texts on both sides, by file name below the folder."""

    database: dict[str, str]
    files: dict[str, str]

    def lines(self) -> Iterator[str]:
        """Yield a unified diff: a push would add the lines with a plus, and remove those with a minus."""
        return source_diff.format_unified(self.database, self.files, old_name=DATABASE_LABEL, new_name=FILES_LABEL)


async def compare_folder(
    connection: AsyncConnection, root: Path, slugs: Sequence[str] | None, *, drafts: bool = False
) -> FolderDiff:
    """Compare the named templates, or all, with the layouts that they use. Raises `FileError`, `NotFoundError`."""
    states = await database_state.get_states(connection, slugs)
    shared = await database_state.get_layouts(connection, states.values())
    stored = {
        slug: source for slug, state in states.items() if (source := state.select_source(draft=drafts)) is not None
    }
    in_folder = {slug for slug in slugs or template_files.list_slugs(root) if (root / slug).is_dir()}
    if unknown := [slug for slug in slugs or () if slug not in stored and slug not in in_folder]:
        raise NotFoundError(f"there is no template {', '.join(unknown)}, neither in the database nor in the folder")
    local = {slug: template_files.read_template(root, slug) for slug in sorted(in_folder)}
    named = {name for source in local.values() for name in source.files if name.startswith(LAYOUTS)}
    layouts = {name: text for name, text in template_files.read_layouts(root).items() if slugs is None or name in named}
    compared = shared if slugs is None else [name for name in shared if name in layouts]
    return FolderDiff(
        database=_list_texts(stored) | {name: shared[name].text for name in compared},
        files=_list_texts(local) | layouts,
    )


def _list_texts(sources: dict[str, TemplateSource]) -> dict[str, str]:
    return {
        f"{slug}/{name}": text
        for slug, source in sources.items()
        for name, text in source_diff.build_documents(draft_store.select_own_parts(source)).items()
    }
