"""Templates as files: `<slug>/template.toml`, parts, sample and locales, with shared `_layouts`.

Texts are read byte for byte, so that a source has the same hash in a folder and in the database.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from notifier import strict_json
from notifier.rendering import images
from notifier.rendering.source import LAYOUTS, LOCALES, PARTS, PinnedAsset, TemplateSource
from notifier.templating import layout
from notifier.templating.assets import files as asset_files
from notifier.templating.folder import settings_text
from notifier.templating.folder.problem import FileError, Problem
from notifier.templating.folder.settings_text import SettingsTextError
from notifier.templating.form import SAMPLE, SLUG, has_place, problems_of

_BOM = "\ufeff"
_PLACE = re.compile(r"line (\d+), column \d+: ")
_NOTES = (".md", "~")
"""Suffixes of notes and backups, which are not part of the template."""


class _TextError(ValueError):
    def __init__(self, file: str, message: str, line: int | None = None) -> None:
        self.problem = Problem(file=file, message=message, line=line)
        super().__init__(message)


def slugs(root: Path) -> list[str]:
    """List the templates below a directory, in alphabetical order."""
    return sorted(path.parent.name for path in root.glob("*/template.toml") if not path.parent.name.startswith("_"))


def read(root: Path, slug: str) -> TemplateSource:
    """Read a template with the layouts it uses. Raises `FileError` with all problems of the files."""
    folder = root / slug
    if not SLUG.fullmatch(slug):
        message = "a slug has lower-case letters, digits, - and _, and starts with a letter"
        raise FileError(slug, [Problem(file="", message=message)])
    if not (folder / settings_text.FILE).is_file():
        raise FileError(slug, [Problem(file="", message=f"there is no {slug}/{settings_text.FILE}")])
    problems: list[Problem] = []
    toml = settings = sample = None
    try:
        toml = text_of(folder, settings_text.FILE)
        settings = settings_text.read(toml)
    except (_TextError, SettingsTextError) as error:
        problems.append(error.problem)
    try:
        sample = sample_of(text_of(folder, SAMPLE))
    except _TextError as error:
        problems.append(error.problem)
    files = _parts(folder, problems)
    files |= _layouts_used(root, files, problems)
    assets = _images_used(root, files, problems)
    if settings is not None and sample is not None:
        source = TemplateSource(files=files, sample=sample, settings=settings, assets=assets)
        problems += problems_of(source, toml or "")
        if not problems:
            return source
    raise FileError(slug, problems)


def layouts(root: Path) -> dict[str, str]:
    """Read every layout below the directory, used or not. Raises `FileError`."""
    texts, problems = {}, []
    for path in sorted((root / LAYOUTS).rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or path.name.startswith(".") or path.name.endswith(_NOTES):
            continue
        try:
            texts[name] = _layout_text(root, name)
        except _TextError as error:
            problems.append(error.problem)
    if problems:
        raise FileError(LAYOUTS.rstrip("/"), problems)
    return texts


def text_of(folder: Path, name: str) -> str:
    """Read the text of a file exactly. Raises `ValueError` with a message that names the file."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.parent.resolve()):
        raise _TextError(name, "links to a file outside the templates")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _TextError(name, "is missing") from None
    except OSError as error:
        raise _TextError(name, f"cannot be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _TextError(name, "is not UTF-8: save it as UTF-8", line) from error
    if text.startswith(_BOM):
        raise _TextError(name, "starts with a byte order mark: save it as UTF-8 without one", 1)
    if "\x00" in text:
        raise _TextError(name, "has a NUL character in it", text.count("\n", 0, text.index("\x00")) + 1)
    return text


def sample_of(text: str) -> dict[str, Any]:
    """Parse the text of `sample.json`. Raises `ValueError` with a message that names the file."""
    try:
        sample = strict_json.loads(text.encode(), keep_fractions=True)
    except strict_json.MalformedJsonError as error:
        place = _PLACE.match(str(error))
        words = _PLACE.sub("", str(error)).replace("the body", "it")
        raise _TextError(SAMPLE, f"is not JSON: {words}", int(place[1]) if place else None) from error
    if not isinstance(sample, dict):
        raise _TextError(SAMPLE, "must be an object: { … }", 1)
    return sample


def _parts(folder: Path, problems: list[Problem]) -> dict[str, str]:
    """Read the parts by name; any other file is a problem, since it may be a part with a typing error."""
    parts = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name.startswith(".") or path.name.endswith(_NOTES):
            continue
        if has_place(name):
            try:
                parts[name] = text_of(folder, name)
            except _TextError as error:
                problems.append(error.problem)
        elif name not in (settings_text.FILE, SAMPLE):
            problems.append(Problem(file=name, message=_no_place(name)))
    return parts


def _no_place(name: str) -> str:
    path = PurePosixPath(name)
    if name.startswith(LOCALES) and path.name in PARTS and len(path.parts) == 3:  # noqa: PLR2004
        return f"{path.parts[1]!r} is not a language tag such as fr or pt-BR"
    return "is no file of a template: the parts are subject.txt, body.html and body.txt, also below locales/<tag>/"


def _layouts_used(root: Path, files: dict[str, str], problems: list[Problem]) -> dict[str, str]:
    """Read the layouts that the parts name, and those that these name in turn."""

    def read_layout(name: str) -> str | None:
        try:
            path = root / name
            is_inside = path.resolve().is_relative_to((root / LAYOUTS).resolve())
            return _layout_text(root, name) if is_inside and path.is_file() else None
        except _TextError as error:
            problems.append(error.problem)
        except ValueError as error:  # not a valid file name
            problems.append(Problem(file=repr(name), message=str(error)))
        return None

    return layout.used(files, read_layout)


def _images_used(root: Path, files: dict[str, str], problems: list[Problem]) -> dict[str, PinnedAsset]:
    """Pin the images that the parts name and the folder has."""
    try:
        return asset_files.pinned(root, images.named(files.values()))
    except (OSError, ValueError) as error:
        problems.append(Problem(file="", message=str(error)))
        return {}


def _layout_text(root: Path, name: str) -> str:
    if not layout.NAME.fullmatch(name):
        raise _TextError(name, "a layout is called _layouts/name.html or _layouts/name.txt, in lower case")
    return text_of(root / LAYOUTS.rstrip("/"), name.removeprefix(LAYOUTS))
