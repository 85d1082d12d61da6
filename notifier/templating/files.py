"""The file form of templates: `<slug>/template.toml`, parts, sample and locales, with shared `_layouts`."""

import re
import tomllib
from pathlib import Path

import msgspec

from notifier import strict_json
from notifier.errors import TemplateError
from notifier.rendering import images
from notifier.rendering.source import LAYOUTS, PARTS, RESERVED, TemplateSettings, TemplateSource
from notifier.states import Priority, WhenUncertain
from notifier.templating import asset_files, layout

SLUG = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_DURATION = re.compile(r"(\d{1,4})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


def slugs(root: Path) -> list[str]:
    """The templates below a directory, in alphabetical order."""
    return sorted(path.parent.name for path in root.glob("*/template.toml") if not path.parent.name.startswith("_"))


def read(root: Path, slug: str) -> TemplateSource:
    """One template with the layouts it uses. Raises `TemplateError` with all that is wrong with the files."""
    folder = root / slug
    if not SLUG.fullmatch(slug):
        raise TemplateError(slug, ["a slug has lower-case letters, digits, - and _, and starts with a letter"])
    if not (folder / "template.toml").is_file():
        raise TemplateError(slug, [f"there is no {slug}/template.toml"])
    try:
        settings = msgspec.convert(tomllib.loads((folder / "template.toml").read_text("utf-8")), TemplateSettings)
        sample = strict_json.loads((folder / "sample.json").read_bytes())
        files = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in _parts_of(folder)}
        files |= _layouts_used(root, files)
        assets = asset_files.pinned(root, images.named(files.values()))
    except (OSError, ValueError, msgspec.ValidationError, strict_json.MalformedJsonError) as error:
        raise TemplateError(slug, [str(error)]) from error
    source = TemplateSource(files=files, sample=sample, settings=settings, assets=assets)
    if problems := problems_of(source):
        raise TemplateError(slug, problems)
    return source


def seconds(duration: str | None) -> int | None:
    """The seconds of a duration such as `30m`, `1h` or `3d`. Raises ValueError."""
    if duration is None:
        return None
    found = _DURATION.fullmatch(duration)
    if not found or not int(found[1]):
        raise ValueError(f"{duration!r} is not a duration such as 30m, 1h or 3d")
    return int(found[1]) * _SECONDS[found[2]]


def _parts_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name in PARTS]


def _layouts_used(root: Path, files: dict[str, str]) -> dict[str, str]:
    """The layouts that the parts name, and those that these name in turn; nothing that is not used is pinned."""

    def read_layout(name: str) -> str | None:
        path = root / name
        inside = path.resolve().is_relative_to((root / LAYOUTS).resolve())
        return path.read_text("utf-8") if inside and path.is_file() else None

    return layout.used(files, read_layout)


def problems_of(source: TemplateSource) -> list[str]:
    """What is wrong with the settings and the sample, before anything is rendered."""
    problems = []
    settings = source.settings
    if not isinstance(source.sample, dict):
        return ["sample.json must be an object"]
    if reserved := sorted(RESERVED & set(source.sample)):
        problems.append(f"sample.json: {', '.join(reserved)} is provided by rendering and cannot be a variable")
    if settings.category not in ("transactional", "marketing"):
        problems.append(f"category is transactional or marketing, not {settings.category!r}")
    if settings.priority not in set(Priority):
        problems.append(f"priority is high, normal or bulk, not {settings.priority!r}")
    if settings.category == "marketing" and settings.priority != Priority.BULK:
        problems.append("marketing is always bulk: set priority to bulk")
    if settings.when_uncertain not in set(WhenUncertain):
        problems.append(f"when_uncertain is resend or hold, not {settings.when_uncertain!r}")
    try:
        seconds(settings.expires_after)
    except ValueError as error:
        problems.append(f"expires_after: {error}")
    return problems
