"""Writing a template's files: octet for octet, and never outside the folder."""

import contextlib
import json
from pathlib import Path
from typing import Any

from notifier.errors import NotifierError
from notifier.template_language.template_source import TemplateSource
from notifier.templating import difference_summary, draft_store, settings_toml
from notifier.templating.sync import template_files


class OutsideFolderError(NotifierError):
    """A link leads out of the folder."""


def write_template(root: Path, slug: str, source: TemplateSource) -> None:
    """Write the template's own files so that `files.read` gives this source; what else is there stays."""
    folder = root / slug
    wanted = draft_store.select_own_parts(source).files
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if template_files.is_part_name(name) and name not in wanted:
            path.unlink()
            with contextlib.suppress(OSError):  # of a language that has other files in it
                path.parent.rmdir()
    for name, text in wanted.items():
        write_file(root, f"{slug}/{name}", text)
    settings, sample = _choose_texts(folder, source)
    write_file(root, f"{slug}/{settings_toml.SETTINGS_FILE}", settings)
    write_file(root, f"{slug}/{template_files.SAMPLE}", sample)


def write_file(root: Path, name: str, text: str) -> None:
    """Write a text octet for octet, and leave no half of it. Raises `OutsideError`."""
    path, octets = root / name, text.encode()
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise OutsideFolderError(f"{name} leads out of {root}: nothing is written there")
    if not path.is_symlink() and path.is_file() and path.read_bytes() == octets:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(octets)
    new.replace(path)  # of a link, the link itself


def _choose_texts(folder: Path, source: TemplateSource) -> tuple[str, str]:
    """Settings and sample as texts: as they stand there if they say the same, for their comments and their order."""
    settings, sample = settings_toml.format_settings(source.settings), difference_summary.format_sample(source.sample)
    with contextlib.suppress(ValueError, OSError):
        text = template_files.read_text(folder, settings_toml.SETTINGS_FILE)
        settings = text if settings_toml.parse_settings(text) == source.settings else settings
    with contextlib.suppress(ValueError, OSError):
        text = template_files.read_text(folder, template_files.SAMPLE)
        here = template_files.parse_sample(text)
        sample = (
            text
            if _serialize(here) == _serialize(source.sample)
            else difference_summary.format_sample(_order_keys(source.sample, here))
        )
    return settings, sample


def _serialize(sample: Any) -> str:
    return json.dumps(sample, sort_keys=True)


def _order_keys(value: Any, model: Any) -> Any:
    """The value with its keys in the model's order, which the database does not keep."""
    if isinstance(value, dict) and isinstance(model, dict):
        order = [*(key for key in model if key in value), *(key for key in value if key not in model)]
        return {key: _order_keys(value[key], model.get(key)) for key in order}
    if isinstance(value, list) and isinstance(model, list):
        return [_order_keys(one, model[min(at, len(model) - 1)] if model else None) for at, one in enumerate(value)]
    return value
