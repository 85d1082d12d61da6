"""What a push takes from a folder: sources, images, and the record of what the files came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from notifier.errors import TemplateError
from notifier.mail.mail_parts import find_image_names
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.templating import template_store
from notifier.templating.sync import asset_files, sync_record, template_files
from notifier.templating.sync.asset_files import ImageFile
from notifier.templating.sync.sync_record import BaseRecord, FileOrigin, SyncResult
from notifier.templating.sync.template_files import TemplateFileError


@dataclass(frozen=True, kw_only=True)
class PushedFolder:
    """The templates that are pushed."""

    sources: dict[str, TemplateSource]  # by slug; with layouts, without images
    images: dict[str, ImageFile]  # by name, of those that the folder has
    record: BaseRecord


def read_pushed_folder(root: Path, slugs: Sequence[str]) -> PushedFolder:
    """Read the named templates with their layouts and images. Raises `TemplateError`, `BaseRecordError`."""
    sources = _read_sources(root, slugs)
    names = {name for source in sources.values() for name in find_image_names(source.files.values())}
    try:
        images = asset_files.read_images(root, sorted(names))
    except (OSError, ValueError) as error:
        raise TemplateError(asset_files.ASSET_FOLDER, [str(error)]) from error
    return PushedFolder(sources=sources, images=images, record=sync_record.read_base(root))


def _read_sources(root: Path, slugs: Sequence[str]) -> dict[str, TemplateSource]:
    """Read all sources. Raises one `TemplateError` for all templates that cannot be read."""
    sources, errors = {}, []
    for slug in slugs:
        try:
            sources[slug] = template_files.read_template(root, slug, pin_images=False)
        except TemplateFileError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        problems = [f"{error.slug}: {problem}" for error in errors for problem in error.problems]
        raise TemplateError(", ".join(error.slug for error in errors), problems)
    return sources


def collect_layouts(sources: Mapping[str, TemplateSource]) -> dict[str, str]:
    """Collect the layouts of all sources, by name."""
    files = [item for source in sources.values() for item in source.files.items()]
    return {name: text for name, text in files if name.startswith(LAYOUTS)}


def update_base_record(folder: PushedFolder, results: Sequence[SyncResult]) -> BaseRecord:
    """Return the record of the folder after a push: all its files now equal the database."""
    sources, record = folder.sources, folder.record
    origins = {
        result.slug: FileOrigin(
            number=result.number,
            hash=template_store.hash_texts(sources[result.slug]),
            files=sync_record.hash_own_parts(sources[result.slug]),
        )
        for result in results
        if result.slug in sources
    }
    hashes = {name: sync_record.hash_layout(text) for name, text in collect_layouts(sources).items()}
    return BaseRecord(templates=record.templates | origins, layouts=record.layouts | hashes, exists=True)
