"""Write a template's files byte for byte, and never outside the folder."""

import contextlib
import json
from pathlib import Path
from typing import Any

from notifier.errors import NotifierError
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, settings_toml, source_diff, validation
from notifier.templating.sync import template_files


class OutsideFolderError(NotifierError):
    """A link leads out of the folder."""


def write_template(root: Path, slug: str, source: TemplateSource) -> None:
    """Write the template's own files so that reading them gives this source; other files stay."""
    folder = root / slug
    parts = draft_store.select_own_parts(source).files
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if validation.is_part_name(name) and name not in parts:
            path.unlink()
            with contextlib.suppress(OSError):  # the folder of a language that has other files
                path.parent.rmdir()
    for name, text in parts.items():
        write_file(root, f"{slug}/{name}", text)
    settings, sample = _choose_texts(folder, source)
    write_file(root, f"{slug}/{settings_toml.SETTINGS_FILE}", settings)
    write_file(root, f"{slug}/{validation.SAMPLE}", sample)


def write_file(root: Path, name: str, text: str) -> None:
    """Write a text byte for byte, completely or not at all. Raises `OutsideError`."""
    path, content = root / name, text.encode()
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise OutsideFolderError(f"{name} leads out of {root}: nothing is written there")
    if not path.is_symlink() and path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)  # replaces a link itself, not what it points to


def _choose_texts(folder: Path, source: TemplateSource) -> tuple[str, str]:
    """Return the texts of settings and sample; those in the folder if equal, for their comments and order."""
    settings, sample = settings_toml.format_settings(source.settings), source_diff.format_sample(source.sample)
    with contextlib.suppress(ValueError, OSError):
        text = template_files.read_text(folder, settings_toml.SETTINGS_FILE)
        settings = text if settings_toml.parse_settings(text) == source.settings else settings
    with contextlib.suppress(ValueError, OSError):
        text = template_files.read_text(folder, validation.SAMPLE)
        local = template_files.parse_sample(text)
        is_same = _serialize(local) == _serialize(source.sample)
        sample = text if is_same else source_diff.format_sample(_order_keys(source.sample, local))
    return settings, sample


def _serialize(sample: Any) -> str:
    return json.dumps(sample, sort_keys=True)


def _order_keys(value: Any, model: Any) -> Any:
    """Return the value with its keys in the model's order, which the database does not keep."""
    if isinstance(value, dict) and isinstance(model, dict):
        order = [*(key for key in model if key in value), *(key for key in value if key not in model)]
        return {key: _order_keys(value[key], model.get(key)) for key in order}
    if isinstance(value, list) and isinstance(model, list):
        return [
            _order_keys(item, model[min(index, len(model) - 1)] if model else None) for index, item in enumerate(value)
        ]
    return value
