"""The file form of templates: `<slug>/template.toml`, parts, sample and locales, with shared `_layouts`.

Texts are read octet for octet, so that a source has the same hash in a folder and in the database.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from notifier import strict_json
from notifier.template_language import image_functions
from notifier.template_language.template_source import (
    LANGUAGE_WORDS,
    LAYOUTS,
    LOCALES,
    PARTS,
    RESERVED_NAMES,
    PinnedAsset,
    TemplateSettings,
    TemplateSource,
)
from notifier.templating import layout_store, settings_toml
from notifier.templating.settings_toml import LANGUAGE_TAG, SettingsTextError, parse_duration
from notifier.templating.source_problem import SourceProblem, TemplateFileError
from notifier.templating.sync import asset_files

__all__ = [
    "SAMPLE",
    "SLUG",
    "find_source_problems",
    "is_part_name",
    "list_slugs",
    "parse_duration",
    "parse_sample",
    "read_layouts",
    "read_template",
    "read_text",
]

SLUG = re.compile(r"[a-z][a-z0-9_-]{0,63}")
SAMPLE = "sample.json"
_BOM = "\ufeff"
_PLACE = re.compile(r"line (\d+), column \d+: ")
_NOTES = (".md", "~")
"""How the names of files end that are for people: they are no part of the template."""


class _FileTextError(ValueError):
    def __init__(self, file: str, message: str, line: int | None = None) -> None:
        self.problem = SourceProblem(file=file, message=message, line=line)
        super().__init__(message)


def list_slugs(root: Path) -> list[str]:
    """The templates below a directory, in alphabetical order."""
    return sorted(path.parent.name for path in root.glob("*/template.toml") if not path.parent.name.startswith("_"))


def is_part_name(name: str) -> bool:
    """Whether a template can have a part of this name."""
    path = PurePosixPath(name)
    if path.name not in PARTS or str(path) != name:
        return False
    return len(path.parts) == 1 or (
        len(path.parts) == 3 and name.startswith(LOCALES) and bool(LANGUAGE_TAG.fullmatch(path.parts[1]))  # noqa: PLR2004
    )


def read_template(root: Path, slug: str) -> TemplateSource:
    """One template with the layouts it uses. Raises `FileError` with all that is wrong with the files."""
    folder = root / slug
    if not SLUG.fullmatch(slug):
        said = "a slug has lower-case letters, digits, - and _, and starts with a letter"
        raise TemplateFileError(slug, [SourceProblem(file="", message=said)])
    if not (folder / settings_toml.SETTINGS_FILE).is_file():
        raise TemplateFileError(
            slug, [SourceProblem(file="", message=f"there is no {slug}/{settings_toml.SETTINGS_FILE}")]
        )
    problems: list[SourceProblem] = []
    toml = settings = sample = None
    try:
        toml = read_text(folder, settings_toml.SETTINGS_FILE)
        settings = settings_toml.parse_settings(toml)
    except (_FileTextError, SettingsTextError) as error:
        problems.append(error.problem)
    try:
        sample = parse_sample(read_text(folder, SAMPLE))
    except _FileTextError as error:
        problems.append(error.problem)
    files = _read_parts(folder, problems)
    files |= _read_used_layouts(root, files, problems)
    assets = _read_used_images(root, files, problems)
    if settings is not None and sample is not None:
        source = TemplateSource(files=files, sample=sample, settings=settings, assets=assets)
        problems += find_source_problems(source, toml or "")
        if not problems:
            return source
    raise TemplateFileError(slug, problems)


def read_layouts(root: Path) -> dict[str, str]:
    """Every layout below the directory, used or not. Raises `FileError`."""
    found, problems = {}, []
    for path in sorted((root / LAYOUTS).rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or path.name.startswith(".") or path.name.endswith(_NOTES):
            continue
        try:
            found[name] = _read_layout(root, name)
        except _FileTextError as error:
            problems.append(error.problem)
    if problems:
        raise TemplateFileError(LAYOUTS.rstrip("/"), problems)
    return found


def read_text(folder: Path, name: str) -> str:
    """The text of a file, exactly. Raises ValueError in words that name the file."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.parent.resolve()):
        raise _FileTextError(name, "links to a file outside the templates")
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        raise _FileTextError(name, "is missing") from None
    except OSError as error:
        raise _FileTextError(name, f"cannot be read: {error.strerror}") from error
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise _FileTextError(name, "is not UTF-8: save it as UTF-8", line) from error
    if text.startswith(_BOM):
        raise _FileTextError(name, "starts with a byte order mark: save it as UTF-8 without one", 1)
    if "\x00" in text:
        raise _FileTextError(name, "has a NUL character in it", text.count("\n", 0, text.index("\x00")) + 1)
    return text


def parse_sample(text: str) -> dict[str, Any]:
    """The sample in the text of `sample.json`. Raises ValueError in words that name the file."""
    try:
        sample = strict_json.parse_json(text.encode(), keep_fractions=True)
    except strict_json.MalformedJsonError as error:
        place = _PLACE.match(str(error))
        words = _PLACE.sub("", str(error)).replace("the body", "it")
        raise _FileTextError(SAMPLE, f"is not JSON: {words}", int(place[1]) if place else None) from error
    if not isinstance(sample, dict):
        raise _FileTextError(SAMPLE, "must be an object: { … }", 1)
    return sample


def _read_parts(folder: Path, problems: list[SourceProblem]) -> dict[str, str]:
    """The parts by name; a file that has no place is a problem, since it may be a part with a typing error."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name.startswith(".") or path.name.endswith(_NOTES):
            continue
        if is_part_name(name):
            try:
                found[name] = read_text(folder, name)
            except _FileTextError as error:
                problems.append(error.problem)
        elif name not in (settings_toml.SETTINGS_FILE, SAMPLE):
            problems.append(SourceProblem(file=name, message=_describe_misplaced(name)))
    return found


def _describe_misplaced(name: str) -> str:
    path = PurePosixPath(name)
    if name.startswith(LOCALES) and path.name in PARTS and len(path.parts) == 3:  # noqa: PLR2004
        return f"{path.parts[1]!r} is not a language tag such as fr or pt-BR"
    return "is no file of a template: the parts are subject.txt, body.html and body.txt, also below locales/<tag>/"


def _read_used_layouts(root: Path, files: dict[str, str], problems: list[SourceProblem]) -> dict[str, str]:
    """The layouts that the parts name, and those that these name in turn; nothing that is not used is pinned."""

    def read_layout(name: str) -> str | None:
        try:
            path = root / name
            inside = path.resolve().is_relative_to((root / LAYOUTS).resolve())
            return _read_layout(root, name) if inside and path.is_file() else None
        except _FileTextError as error:
            problems.append(error.problem)
        except ValueError as error:  # a name that no file can have
            problems.append(SourceProblem(file=repr(name), message=str(error)))
        return None

    return layout_store.find_used_layouts(files, read_layout)


def _read_used_images(root: Path, files: dict[str, str], problems: list[SourceProblem]) -> dict[str, PinnedAsset]:
    """The images that the parts name and the folder has, as a version would show them."""
    try:
        return asset_files.pin_images(root, image_functions.find_image_names(files.values()))
    except (OSError, ValueError) as error:
        problems.append(SourceProblem(file="", message=str(error)))
        return {}


def _read_layout(root: Path, name: str) -> str:
    if not layout_store.LAYOUT_NAME.fullmatch(name):
        raise _FileTextError(name, "a layout is called _layouts/name.html or _layouts/name.txt, in lower case")
    return read_text(root / LAYOUTS.rstrip("/"), name.removeprefix(LAYOUTS))


def find_source_problems(source: TemplateSource, toml: str = "") -> list[SourceProblem]:
    """What is wrong with settings, sample and locales, before anything is rendered; `toml`: where the lines are."""
    settings: TemplateSettings = source.settings
    if not isinstance(source.sample, dict):
        return [SourceProblem(file=SAMPLE, message="must be an object: { … }")]
    problems = []
    if reserved := sorted(RESERVED_NAMES & set(source.sample)):
        said = f"{', '.join(reserved)} is provided by rendering and cannot be a variable"
        problems.append(SourceProblem(file=SAMPLE, message=said))
    if words := sorted(LANGUAGE_WORDS & set(source.sample)):
        said = f"{', '.join(words)} is a word of templates, and a variable cannot be called so: give it another name"
        problems.append(SourceProblem(file=SAMPLE, message=said))
    faults = settings_toml.find_setting_faults(settings) + settings_toml.find_path_faults(settings, source.sample)
    problems += [
        SourceProblem(file=settings_toml.SETTINGS_FILE, message=said, line=settings_toml.find_line(toml, key), key=key)
        for key, said in faults
    ]
    lower: dict[str, str] = {}
    for tag in source.locales:
        if tag.lower() in lower:
            said = f"is the same language as locales/{lower[tag.lower()]}"
            problems.append(SourceProblem(file=f"{LOCALES}{tag}", message=said))
        lower[tag.lower()] = tag
    return problems
