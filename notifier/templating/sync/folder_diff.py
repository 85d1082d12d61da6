"""The files of a folder compared with the database, line by line."""

from collections.abc import Sequence
from pathlib import Path

from notifier.errors import NotFoundError
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import source_diff, template_store
from notifier.templating.sync import template_files
from notifier.templating.sync.stored_templates import StoredTemplates


def compare_folder(
    stored: StoredTemplates, root: Path, slugs: Sequence[str] | None, *, drafts: bool = False
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of the named templates, or of all, and of their layouts: in the database and in the folder.

    `stored` has the named templates, or all. Raises `TemplateFileError`, `NotFoundError`.
    """
    shared = stored.find_layouts()
    sources = {
        slug: source
        for slug, state in stored.states.items()
        if (source := state.select_source(draft=drafts)) is not None
    }
    in_folder = {slug for slug in slugs or template_files.list_slugs(root) if (root / slug).is_dir()}
    if unknown := [slug for slug in slugs or () if slug not in sources and slug not in in_folder]:
        raise NotFoundError(f"there is no template {', '.join(unknown)}, neither in the database nor in the folder")
    local = {slug: template_files.read_template(root, slug, pin_images=False) for slug in sorted(in_folder)}
    named = {name for source in local.values() for name in source.files if name.startswith(LAYOUTS)}
    layouts = {name: text for name, text in template_files.read_layouts(root).items() if slugs is None or name in named}
    compared = shared if slugs is None else [name for name in shared if name in layouts]
    return _list_texts(sources) | {name: shared[name].text for name in compared}, _list_texts(local) | layouts


def _list_texts(sources: dict[str, TemplateSource]) -> dict[str, str]:
    return {
        f"{slug}/{name}": text
        for slug, source in sources.items()
        for name, text in source_diff.build_documents(template_store.select_own_parts(source)).items()
    }
