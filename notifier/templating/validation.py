"""Validation of a template's source before it is rendered: files, sizes, settings, sample and locales."""

import re
from pathlib import PurePosixPath

import msgspec

from notifier.errors import Fault, InvalidRequestError, escape_pointer
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.template_source import (
    LANGUAGE_WORDS,
    LOCALES,
    PARTS,
    RESERVED_NAMES,
    RenderFault,
    TemplateSource,
)
from notifier.template_lint.lint_remark import Severity
from notifier.templating import settings_toml
from notifier.templating.settings_toml import LANGUAGE_TAG
from notifier.templating.source_problem import SourceProblem

MAX_SOURCE_BYTES = 512 * 1024  # bytes of all files together
MAX_SAMPLE_BYTES = 256 * 1024  # bytes as JSON, as of the variables of a notification
MAX_FILES = 100
SLUG = re.compile(r"[a-z][a-z0-9_-]{0,63}")
SAMPLE = "sample.json"
_MAILBOXES = frozenset({"from", "reply_to"})
_POINTERS = {"template.toml": "/settings", "sample.json": "/sample", "mail": "/files"}


def require_valid_source(slug: str, source: TemplateSource) -> None:
    """Raise `InvalidRequestError` with all faults of the slug and the source."""
    faults = []
    if not SLUG.fullmatch(slug):
        detail = "a slug has lower-case letters, digits, - and _, and starts with a letter"
        faults.append(Fault("", "invalid_slug", detail))
    if faults := faults + find_source_faults(source):
        raise InvalidRequestError(faults)


def find_source_faults(source: TemplateSource) -> list[Fault]:
    """Find the faults of names, sizes, settings and the sample."""
    faults = [
        Fault(f"/files/{escape_pointer(name)}", "unknown_file", "subject.txt, body.html, body.txt; locales/<tag>/…")
        for name in source.files
        if not is_part_name(name)
    ]
    if len(source.files) > MAX_FILES:
        faults.append(Fault("/files", "too_many", f"a template has at most {MAX_FILES} files"))
    if sum(len(text.encode()) for text in source.files.values()) > MAX_SOURCE_BYTES:
        faults.append(Fault("/files", "too_large", f"all files have at most {MAX_SOURCE_BYTES} bytes together"))
    if len(msgspec.json.encode(source.sample)) > MAX_SAMPLE_BYTES:
        faults.append(Fault("/sample", "too_large", f"the sample has at most {MAX_SAMPLE_BYTES} bytes"))
    return faults + [_build_problem_fault(problem) for problem in find_problems(source)]


def _build_problem_fault(problem: SourceProblem) -> Fault:
    code = "invalid_address" if problem.key in _MAILBOXES else "invalid_setting"
    return Fault(_get_file_pointer(problem.file) + (f"/{problem.key}" if problem.key else ""), code, problem.message)


def require_renderable(checked: SourceCheck) -> None:
    """Raise `InvalidRequestError` if the source does not render."""
    if checked.faults:
        raise InvalidRequestError([build_render_fault(fault) for fault in checked.faults])


def require_publishable(checked: SourceCheck) -> None:
    """Raise `InvalidRequestError` if the source does not render, or a lint rule forbids to publish it."""
    require_renderable(checked)
    errors = [remark for remark in checked.remarks if remark.severity is Severity.ERROR]
    if errors:
        raise InvalidRequestError(
            [Fault(_get_file_pointer(error.file), "template_blocked", str(error)) for error in errors]
        )


def build_render_fault(fault: RenderFault) -> Fault:
    """Convert a fault of rendering into a fault of the request that has the source."""
    return Fault(_get_file_pointer(fault.part), fault.code.value, str(fault))


def _get_file_pointer(file: str) -> str:
    return _POINTERS.get(file) or f"/files/{escape_pointer(file)}"


def is_part_name(name: str) -> bool:
    """Whether a template can have a part of this name."""
    path = PurePosixPath(name)
    if path.name not in PARTS or str(path) != name:
        return False
    return len(path.parts) == 1 or (
        len(path.parts) == 3 and name.startswith(LOCALES) and bool(LANGUAGE_TAG.fullmatch(path.parts[1]))  # noqa: PLR2004
    )


def find_problems(source: TemplateSource, toml: str = "") -> list[SourceProblem]:
    """Find the problems of settings, sample and locales; `toml` is for the line numbers."""
    settings = source.settings
    if not isinstance(source.sample, dict):
        return [SourceProblem(file=SAMPLE, message="must be an object: { … }")]
    problems = []
    if reserved := sorted(RESERVED_NAMES & set(source.sample)):
        message = f"{', '.join(reserved)} is provided by rendering and cannot be a variable"
        problems.append(SourceProblem(file=SAMPLE, message=message))
    if words := sorted(LANGUAGE_WORDS & set(source.sample)):
        message = f"{', '.join(words)} is a word of templates, and a variable cannot be called so: give it another name"
        problems.append(SourceProblem(file=SAMPLE, message=message))
    faults = settings_toml.find_setting_faults(settings) + settings_toml.find_path_faults(settings, source.sample)
    problems += [
        SourceProblem(
            file=settings_toml.SETTINGS_FILE, message=message, line=settings_toml.find_line(toml, key), key=key
        )
        for key, message in faults
    ]
    lower: dict[str, str] = {}
    for tag in source.locales:
        if tag.lower() in lower:
            message = f"is the same language as locales/{lower[tag.lower()]}"
            problems.append(SourceProblem(file=f"{LOCALES}{tag}", message=message))
        lower[tag.lower()] = tag
    return problems
