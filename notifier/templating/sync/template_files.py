"""Templates as files: `<slug>/template.toml`, parts, sample and locales, with shared `_layouts`.

Texts are read byte for byte, so that a source has the same hash in a folder and in the database.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from notifier import strict_json
from notifier.mail.mail_parts import PinnedAsset, find_image_names
from notifier.template_language.template_source import (
    LAYOUTS,
    LOCALES,
    PARTS,
    TemplateSource,
)
from notifier.templating import layout_store, settings_toml
from notifier.templating.source_problem import SourceProblem, SourceProblemError, TemplateFileError
from notifier.templating.sync import asset_files
from notifier.templating.validation import SAMPLE, SLUG, find_problems, is_part_name

_BOM = "\ufeff"
_PLACE = re.compile(r"line (\d+), column \d+: ")
_NOTES = (".md", "~")
"""Suffixes of notes and backups, which are not part of the template."""


def list_slugs(root: Path) -> list[str]:
    """List the templates below a directory, in alphabetical order."""
    return sorted(path.parent.name for path in root.glob("*/template.toml") if not path.parent.name.startswith("_"))


def read_template(root: Path, slug: str) -> TemplateSource:
    """Read a template with the layouts it uses. Raises `TemplateFileError` with all problems of the files."""
    folder = root / slug
    if not SLUG.fullmatch(slug):
        message = "a slug has lower-case letters, digits, - and _, and starts with a letter"
        raise TemplateFileError(slug, [SourceProblem(file="", message=message)])
    if not (folder / settings_toml.SETTINGS_FILE).is_file():
        raise TemplateFileError(
            slug, [SourceProblem(file="", message=f"there is no {slug}/{settings_toml.SETTINGS_FILE}")]
        )
    toml = settings = sample = None
    problems = []
    try:
        toml = read_text(folder, settings_toml.SETTINGS_FILE)
        settings = settings_toml.parse_settings(toml)
    except SourceProblemError as error:
        problems.append(error.problem)
    try:
        sample = parse_sample(read_text(folder, SAMPLE))
    except SourceProblemError as error:
        problems.append(error.problem)
    files, part_problems = _read_parts(folder)
    layouts, layout_problems = _read_used_layouts(root, files)
    files |= layouts
    assets, image_problems = _read_used_images(root, files)
    problems += part_problems + layout_problems + image_problems
    if settings is not None and sample is not None:
        source = TemplateSource(files=files, sample=sample, settings=settings, assets=assets)
        problems += find_problems(source, toml or "")
        if not problems:
            return source
    raise TemplateFileError(slug, problems)


def read_layouts(root: Path) -> dict[str, str]:
    """Read every layout below the directory, used or not. Raises `TemplateFileError`."""
    texts, problems = {}, []
    for name in _list_files(root / LAYOUTS):
        try:
            texts[LAYOUTS + name] = _read_layout(root, LAYOUTS + name)
        except SourceProblemError as error:
            problems.append(error.problem)
    if problems:
        raise TemplateFileError(LAYOUTS.rstrip("/"), problems)
    return texts


def _list_files(folder: Path) -> list[str]:
    """List the names of all files below the folder, less hidden files, notes and backups."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        path.relative_to(folder).as_posix()
        for path in files
        if not path.name.startswith(".") and not path.name.endswith(_NOTES)
    ]


def read_text(folder: Path, name: str) -> str:
    """Read the text of a file exactly. Raises `ValueError` with a message that names the file."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.parent.resolve()):
        raise _build_error(name, "links to a file outside the templates")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise _build_error(name, "is missing") from None
    except OSError as error:
        raise _build_error(name, f"cannot be read: {error.strerror}") from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _build_error(name, "is not UTF-8: save it as UTF-8", line) from error
    if text.startswith(_BOM):
        raise _build_error(name, "starts with a byte order mark: save it as UTF-8 without one", 1)
    if "\x00" in text:
        raise _build_error(name, "has a NUL character in it", text.count("\n", 0, text.index("\x00")) + 1)
    return text


def parse_sample(text: str) -> dict[str, Any]:
    """Parse the text of `sample.json`. Raises `ValueError` with a message that names the file."""
    try:
        sample = strict_json.parse_json(text.encode(), keep_fractions=True)
    except strict_json.MalformedJsonError as error:
        place = _PLACE.match(str(error))
        words = _PLACE.sub("", str(error)).replace("the body", "it")
        raise _build_error(SAMPLE, f"is not JSON: {words}", int(place[1]) if place else None) from error
    if not isinstance(sample, dict):
        raise _build_error(SAMPLE, "must be an object: { … }", 1)
    return sample


def _build_error(file: str, message: str, line: int | None = None) -> SourceProblemError:
    return SourceProblemError(SourceProblem(file=file, message=message, line=line))


def _read_parts(folder: Path) -> tuple[dict[str, str], list[SourceProblem]]:
    """Read the parts by name; any other file is a problem, since it may be a part with a typing error."""
    parts, problems = {}, []
    for name in _list_files(folder):
        if is_part_name(name):
            try:
                parts[name] = read_text(folder, name)
            except SourceProblemError as error:
                problems.append(error.problem)
        elif name not in (settings_toml.SETTINGS_FILE, SAMPLE):
            problems.append(SourceProblem(file=name, message=_describe_misplaced(name)))
    return parts, problems


def _describe_misplaced(name: str) -> str:
    path = PurePosixPath(name)
    if name.startswith(LOCALES) and path.name in PARTS and len(path.parts) == 3:  # noqa: PLR2004
        return f"{path.parts[1]!r} is not a language tag such as fr or pt-BR"
    return "is no file of a template: the parts are subject.txt, body.html and body.txt, also below locales/<tag>/"


def _read_used_layouts(root: Path, files: dict[str, str]) -> tuple[dict[str, str], list[SourceProblem]]:
    """Read the layouts that the parts name, and those that these name in turn."""
    problems = []

    def read_layout(name: str) -> str | None:
        try:
            path = root / name
            is_inside = path.resolve().is_relative_to((root / LAYOUTS).resolve())
            return _read_layout(root, name) if is_inside and path.is_file() else None
        except SourceProblemError as error:
            problems.append(error.problem)
        except ValueError as error:  # not a valid file name
            problems.append(SourceProblem(file=repr(name), message=str(error)))
        return None

    return layout_store.find_used_layouts(files, read_layout), problems


def _read_used_images(root: Path, files: dict[str, str]) -> tuple[dict[str, PinnedAsset], list[SourceProblem]]:
    """Pin the images that the parts name and the folder has."""
    try:
        return asset_files.pin_images(root, find_image_names(files.values())), []
    except (OSError, ValueError) as error:
        return {}, [SourceProblem(file="", message=str(error))]


def _read_layout(root: Path, name: str) -> str:
    if not layout_store.LAYOUT_NAME.fullmatch(name):
        raise _build_error(name, "a layout is called _layouts/name.html or _layouts/name.txt, in lower case")
    return read_text(root / LAYOUTS.rstrip("/"), name.removeprefix(LAYOUTS))
