"""The files of a folder against what stands in the database, line by line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import NotFoundError
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import difference_summary, draft_store
from notifier.templating.sync import database_state, template_files

DATABASE_LABEL, FILES_LABEL = "database", "files"


@dataclass(frozen=True, kw_only=True)
class FolderDiff:
    """Two texts of everything that is compared: name below the folder → text."""

    database: dict[str, str]
    files: dict[str, str]

    def lines(self) -> Iterator[str]:
        """A unified diff: what a push would add has a plus, what it would take away a minus."""
        return difference_summary.format_unified(
            self.database, self.files, old_name=DATABASE_LABEL, new_name=FILES_LABEL
        )


async def compare_folder(
    connection: AsyncConnection, root: Path, slugs: Sequence[str] | None, *, drafts: bool = False
) -> FolderDiff:
    """The named templates, or all, with the layouts that they use. Raises `FileError`, `NotFoundError`."""
    stand = await database_state.get_states(connection, slugs)
    shared = await database_state.get_layouts(connection, stand.values())
    there = {slug: source for slug, one in stand.items() if (source := one.select_source(draft=drafts)) is not None}
    local = {slug for slug in slugs or template_files.list_slugs(root) if (root / slug).is_dir()}
    if unknown := [slug for slug in slugs or () if slug not in there and slug not in local]:
        raise NotFoundError(f"there is no template {', '.join(unknown)}, neither here nor there")
    here = {slug: template_files.read_template(root, slug) for slug in sorted(local)}
    named = {name for source in here.values() for name in source.files if name.startswith(LAYOUTS)}
    kept = {name: text for name, text in template_files.read_layouts(root).items() if slugs is None or name in named}
    wanted = shared if slugs is None else [name for name in shared if name in kept]
    return FolderDiff(
        database=_list_texts(there) | {name: shared[name].text for name in wanted},
        files=_list_texts(here) | kept,
    )


def _list_texts(sources: dict[str, TemplateSource]) -> dict[str, str]:
    return {
        f"{slug}/{name}": text
        for slug, source in sources.items()
        for name, text in difference_summary.build_documents(draft_store.select_own_parts(source)).items()
    }
