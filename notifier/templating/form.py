"""Validation of a template's source before it is rendered: files, sizes, settings, sample and locales."""

import re
from pathlib import PurePosixPath

import msgspec

from notifier.errors import Fault, InvalidRequestError
from notifier.rendering.job import Checked, RenderFault, Severity
from notifier.rendering.pointer import escape_pointer
from notifier.rendering.source import LOCALES, PARTS, RESERVED, WORDS, TemplateSource
from notifier.templating.folder import settings_text
from notifier.templating.folder.problem import Problem
from notifier.templating.folder.settings_text import TAG

LARGEST_SOURCE = 512 * 1024  # bytes of all files together
LARGEST_SAMPLE = 256 * 1024  # bytes as JSON, as of the variables of a notification
MOST_FILES = 100
SLUG = re.compile(r"[a-z][a-z0-9_-]{0,63}")
SAMPLE = "sample.json"
_MAILBOXES = frozenset({"from", "reply_to"})
_ABOUT = {"template.toml": "/settings", "sample.json": "/sample", "mail": "/files"}


def require(slug: str, source: TemplateSource) -> None:
    """Raise `InvalidRequestError` with all faults of the slug and the source."""
    faults = []
    if not SLUG.fullmatch(slug):
        detail = "a slug has lower-case letters, digits, - and _, and starts with a letter"
        faults.append(Fault("", "invalid_slug", detail))
    if faults := faults + faults_in(source):
        raise InvalidRequestError(faults)


def faults_in(source: TemplateSource) -> list[Fault]:
    """Find the faults of names, sizes, settings and the sample."""
    faults = [
        Fault(f"/files/{escape_pointer(name)}", "unknown_file", "subject.txt, body.html, body.txt; locales/<tag>/…")
        for name in source.files
        if not has_place(name)
    ]
    if len(source.files) > MOST_FILES:
        faults.append(Fault("/files", "too_many", f"a template has at most {MOST_FILES} files"))
    if sum(len(text.encode()) for text in source.files.values()) > LARGEST_SOURCE:
        faults.append(Fault("/files", "too_large", f"all files have at most {LARGEST_SOURCE} bytes together"))
    if len(msgspec.json.encode(source.sample)) > LARGEST_SAMPLE:
        faults.append(Fault("/sample", "too_large", f"the sample has at most {LARGEST_SAMPLE} bytes"))
    return faults + [_fault_in(problem) for problem in problems_of(source)]


def _fault_in(problem: Problem) -> Fault:
    code = "invalid_address" if problem.key in _MAILBOXES else "invalid_setting"
    return Fault(_pointer(problem.file) + (f"/{problem.key}" if problem.key else ""), code, problem.message)


def require_sound(checked: Checked) -> None:
    """Raise `InvalidRequestError` if the source does not render."""
    if checked.faults:
        raise InvalidRequestError([fault_of(fault) for fault in checked.faults])


def require_publishable(checked: Checked) -> None:
    """Raise `InvalidRequestError` if the source does not render, or a lint rule forbids to publish it."""
    require_sound(checked)
    errors = [remark for remark in checked.remarks if remark.severity is Severity.ERROR]
    if errors:
        raise InvalidRequestError([Fault(_pointer(error.file), "template_blocked", str(error)) for error in errors])


def fault_of(fault: RenderFault) -> Fault:
    """Convert a fault of rendering into a fault of the request that has the source."""
    return Fault(_pointer(fault.part), fault.code.value, str(fault))


def _pointer(file: str) -> str:
    return _ABOUT.get(file) or f"/files/{escape_pointer(file)}"


def has_place(name: str) -> bool:
    """Whether a template can have a part of this name."""
    path = PurePosixPath(name)
    if path.name not in PARTS or str(path) != name:
        return False
    return len(path.parts) == 1 or (
        len(path.parts) == 3 and name.startswith(LOCALES) and bool(TAG.fullmatch(path.parts[1]))  # noqa: PLR2004
    )


def problems_of(source: TemplateSource, toml: str = "") -> list[Problem]:
    """Find the problems of settings, sample and locales; `toml` is for the line numbers."""
    settings = source.settings
    if not isinstance(source.sample, dict):
        return [Problem(file=SAMPLE, message="must be an object: { … }")]
    problems = []
    if reserved := sorted(RESERVED & set(source.sample)):
        message = f"{', '.join(reserved)} is provided by rendering and cannot be a variable"
        problems.append(Problem(file=SAMPLE, message=message))
    if words := sorted(WORDS & set(source.sample)):
        message = f"{', '.join(words)} is a word of templates, and a variable cannot be called so: give it another name"
        problems.append(Problem(file=SAMPLE, message=message))
    faults = settings_text.faults_in(settings) + settings_text.faults_in_paths(settings, source.sample)
    problems += [
        Problem(file=settings_text.FILE, message=message, line=settings_text.line_of(toml, key), key=key)
        for key, message in faults
    ]
    lower: dict[str, str] = {}
    for tag in source.locales:
        if tag.lower() in lower:
            message = f"is the same language as locales/{lower[tag.lower()]}"
            problems.append(Problem(file=f"{LOCALES}{tag}", message=message))
        lower[tag.lower()] = tag
    return problems
