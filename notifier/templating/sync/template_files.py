"""Templates as files: `<slug>/template.toml`, parts, sample and locales, with shared `_layouts`.

Texts are read and written byte for byte, so that a source has the same hash in a folder and in the database.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from notifier import strict_json
from notifier.errors import ConfigurationError, NotifierError, TemplateError
from notifier.mail.mail_parts import PinnedAsset, find_image_names
from notifier.template_language.template_source import HTML, LAYOUTS, LOCALES, PARTS, SUBJECT, TemplateSource
from notifier.templating import layout_store, settings_toml, source_diff
from notifier.templating.sync import asset_files
from notifier.templating.template_store import select_own_parts
from notifier.templating.validation import (
    SAMPLE,
    SETTINGS_FILE,
    SLUG,
    SLUG_RULE,
    SourceProblem,
    SourceProblemError,
    find_problems,
    is_part_name,
)

_BOM = "\ufeff"
_PLACE = re.compile(r"line (\d+), column \d+: ")
_NEEDED_FILES = (SETTINGS_FILE, SAMPLE, SUBJECT, HTML)
_NOTES = (".md", "~")
"""Suffixes of notes and backups, which are not part of the template."""


class TemplateFileError(TemplateError):
    """The files cannot be read as a template."""

    def __init__(self, slug: str, problems: list[SourceProblem]) -> None:
        self.source_problems = tuple(problems)
        super().__init__(slug, [str(problem) for problem in problems])


class OutsideFolderError(NotifierError):
    """A link leads out of the folder."""


def list_slugs(root: Path) -> list[str]:
    """List the templates below a directory, in alphabetical order. Raises `ConfigurationError` if it is missing."""
    if not root.is_dir():
        raise ConfigurationError(f"there is no directory {root}: correct --dir or NOTIFIER_TEMPLATES_DIR")
    return sorted(path.parent.name for path in root.glob("*/template.toml") if not path.parent.name.startswith("_"))


def read_template(root: Path, slug: str, *, pin_images: bool = True) -> TemplateSource:
    """Read a template with the layouts it uses, and its images unless they are pinned elsewhere.

    Raises `TemplateFileError` with all problems of the files.
    """
    folder = root / slug
    if not SLUG.fullmatch(slug):
        raise TemplateFileError(slug, [SourceProblem(file="", message=SLUG_RULE)])
    needed = _NEEDED_FILES if folder.is_dir() else (SETTINGS_FILE,)
    missing = [name for name in needed if not (folder / name).is_file()]
    if SETTINGS_FILE in missing:
        names = ", ".join(f"{slug}/{name}" for name in missing)
        raise TemplateFileError(slug, [SourceProblem(file="", message=f"there is no {names}")])
    toml = ""
    documents: dict[str, Any] = {}
    problems: list[SourceProblem] = []
    with _collect_problem(problems):
        toml = read_text(folder, SETTINGS_FILE)
        documents["settings"] = settings_toml.parse_settings(toml)
    with _collect_problem(problems):
        documents["sample"] = parse_sample(read_text(folder, SAMPLE))
    if SAMPLE in missing:  # with all of them, the check names the missing parts
        problems += [SourceProblem(file=name, message="is missing") for name in missing if name != SAMPLE]
    files = _read_parts(folder, problems)
    files |= _read_used_layouts(root, files, problems)
    assets = _read_used_images(root, files, problems) if pin_images else {}
    if documents.keys() == {"settings", "sample"}:
        source = TemplateSource(files=files, assets=assets, **documents)
        for problem in find_problems(source):
            line = settings_toml.find_line(toml, problem.key) if problem.key else None
            problems.append(replace(problem, line=line))
        if not problems:
            return source
    raise TemplateFileError(slug, problems)


def read_layouts(root: Path) -> dict[str, str]:
    """Read every layout below the directory, used or not. Raises `TemplateFileError`."""
    texts: dict[str, str] = {}
    problems: list[SourceProblem] = []
    for name in _list_files(root / LAYOUTS):
        with _collect_problem(problems):
            texts[LAYOUTS + name] = _read_layout(root, LAYOUTS + name)
    if problems:
        raise TemplateFileError(LAYOUTS.rstrip("/"), problems)
    return texts


@contextlib.contextmanager
def _collect_problem(problems: list[SourceProblem]) -> Iterator[None]:
    try:
        yield
    except SourceProblemError as error:
        problems.append(error.problem)


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


def _read_parts(folder: Path, problems: list[SourceProblem]) -> dict[str, str]:
    """Read the parts by name; any other file is a problem, since it may be a part with a typing error."""
    parts: dict[str, str] = {}
    for name in _list_files(folder):
        if is_part_name(name):
            with _collect_problem(problems):
                parts[name] = read_text(folder, name)
        elif name not in (SETTINGS_FILE, SAMPLE):
            problems.append(SourceProblem(file=name, message=_describe_misplaced(name)))
    return parts


def _describe_misplaced(name: str) -> str:
    path = PurePosixPath(name)
    if name.startswith(LOCALES) and path.name in PARTS and len(path.parts) == 3:  # noqa: PLR2004
        return f"{path.parts[1]!r} is not a language tag such as fr or pt-BR"
    return "is no file of a template: the parts are subject.txt, body.html and body.txt, also below locales/<tag>/"


def _read_used_layouts(root: Path, files: dict[str, str], problems: list[SourceProblem]) -> dict[str, str]:
    """Read the layouts that the parts name, and those that these name in turn."""

    def read_layout(name: str) -> str | None:
        path = root / name
        try:
            is_inside = path.resolve().is_relative_to((root / LAYOUTS).resolve())
            return _read_layout(root, name) if is_inside and path.is_file() else None
        except SourceProblemError as error:
            problems.append(error.problem)
        except ValueError as error:  # not a valid file name
            problems.append(SourceProblem(file=repr(name), message=str(error)))
        return None

    return layout_store.find_used_layouts(files, read_layout)


def _read_used_images(root: Path, files: dict[str, str], problems: list[SourceProblem]) -> dict[str, PinnedAsset]:
    try:
        return asset_files.pin_images(root, find_image_names(files.values()))
    except (OSError, ValueError) as error:
        problems.append(SourceProblem(file="", message=str(error)))
        return {}


def _read_layout(root: Path, name: str) -> str:
    if not layout_store.LAYOUT_NAME.fullmatch(name):
        raise _build_error(name, "a layout is called _layouts/name.html or _layouts/name.txt, in lower case")
    return read_text(root / LAYOUTS.rstrip("/"), name.removeprefix(LAYOUTS))


def write_template(root: Path, slug: str, source: TemplateSource) -> None:
    """Write the template's own files so that reading them gives this source; other files stay."""
    folder = root / slug
    parts = select_own_parts(source).files
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if is_part_name(name) and name not in parts:
            path.unlink()
            with contextlib.suppress(OSError):  # the folder of a language may have other files
                path.parent.rmdir()
    for name, text in parts.items():
        write_file(root, f"{slug}/{name}", text)
    settings, sample = _choose_texts(folder, source)
    write_file(root, f"{slug}/{SETTINGS_FILE}", settings)
    write_file(root, f"{slug}/{SAMPLE}", sample)


def write_file(root: Path, name: str, text: str) -> None:
    """Write a text byte for byte, completely or not at all. Raises `OutsideFolderError`."""
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
        text = read_text(folder, SETTINGS_FILE)
        settings = text if settings_toml.parse_settings(text) == source.settings else settings
    with contextlib.suppress(ValueError, OSError):
        text = read_text(folder, SAMPLE)
        local = parse_sample(text)
        is_same = json.dumps(local, sort_keys=True) == json.dumps(source.sample, sort_keys=True)
        sample = text if is_same else source_diff.format_sample(_order_keys(source.sample, local))
    return settings, sample


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
