"""The files of a folder compared with the database, line by line."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import NotFoundError
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import layout_store, source_diff, template_store
from notifier.templating.layout_store import LayoutView
from notifier.templating.sync import template_files
from notifier.templating.template_store import TemplateState


async def get_layouts(connection: AsyncConnection, states: Iterable[TemplateState]) -> dict[str, LayoutView]:
    """Get the layouts by name; one that only versions have is taken from the newest of them, with revision 0."""
    views = {view.name: view for view in await layout_store.list_layouts(connection)}
    published = [(state.published_at, state) for state in states if state.source and state.published_at]
    for at, state in sorted(published, key=lambda item: item[0], reverse=True):
        for name, text in (state.source.files if state.source else {}).items():
            if name.startswith(LAYOUTS) and name not in views:
                by = state.published_by
                views[name] = LayoutView(name=name, text=text, revision=0, updated_by=by, updated_at=at)
    return views


async def compare_folder(
    connection: AsyncConnection, root: Path, slugs: Sequence[str] | None, *, drafts: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of the named templates, or of all, and of their layouts: in the database and in the folder.

    Raises `TemplateFileError`, `NotFoundError`.
    """
    states = await template_store.get_states(connection, slugs)
    shared = await get_layouts(connection, states.values())
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
    return _list_texts(stored) | {name: shared[name].text for name in compared}, _list_texts(local) | layouts


def _list_texts(sources: dict[str, TemplateSource]) -> dict[str, str]:
    return {
        f"{slug}/{name}": text
        for slug, source in sources.items()
        for name, text in source_diff.build_documents(template_store.select_own_parts(source)).items()
    }
