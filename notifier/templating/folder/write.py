"""Write a template's files byte for byte, and never outside the folder."""

import contextlib
import json
from pathlib import Path
from typing import Any

from notifier.errors import NotifierError
from notifier.rendering.source import TemplateSource
from notifier.templating import draft, form
from notifier.templating.folder import file_diff, files, settings_text


class OutsideError(NotifierError):
    """A link leads out of the folder."""


def write(root: Path, slug: str, source: TemplateSource) -> None:
    """Write the template's own files so that reading them gives this source; other files stay."""
    folder = root / slug
    parts = draft.own(source).files
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if form.has_place(name) and name not in parts:
            path.unlink()
            with contextlib.suppress(OSError):  # the folder of a language that has other files
                path.parent.rmdir()
    for name, text in parts.items():
        put(root, f"{slug}/{name}", text)
    settings, sample = _kept(folder, source)
    put(root, f"{slug}/{settings_text.FILE}", settings)
    put(root, f"{slug}/{form.SAMPLE}", sample)


def put(root: Path, name: str, text: str) -> None:
    """Write a text byte for byte, completely or not at all. Raises `OutsideError`."""
    path, content = root / name, text.encode()
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise OutsideError(f"{name} leads out of {root}: nothing is written there")
    if not path.is_symlink() and path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    new.replace(path)  # replaces a link itself, not what it points to


def _kept(folder: Path, source: TemplateSource) -> tuple[str, str]:
    """Return the texts of settings and sample; those in the folder if equal, for their comments and order."""
    settings, sample = settings_text.write(source.settings), file_diff.sample_text(source.sample)
    with contextlib.suppress(ValueError, OSError):
        text = files.text_of(folder, settings_text.FILE)
        settings = text if settings_text.read(text) == source.settings else settings
    with contextlib.suppress(ValueError, OSError):
        text = files.text_of(folder, form.SAMPLE)
        local = files.sample_of(text)
        is_same = _exactly(local) == _exactly(source.sample)
        sample = text if is_same else file_diff.sample_text(_as(source.sample, local))
    return settings, sample


def _exactly(sample: Any) -> str:
    return json.dumps(sample, sort_keys=True)


def _as(value: Any, model: Any) -> Any:
    """Return the value with its keys in the model's order, which the database does not keep."""
    if isinstance(value, dict) and isinstance(model, dict):
        order = [*(key for key in model if key in value), *(key for key in value if key not in model)]
        return {key: _as(value[key], model.get(key)) for key in order}
    if isinstance(value, list) and isinstance(model, list):
        return [_as(item, model[min(index, len(model) - 1)] if model else None) for index, item in enumerate(value)]
    return value
