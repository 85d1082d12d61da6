"""Validation of a template's source before it is rendered: files, sizes, settings, sample and locales."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import msgspec

from notifier import email_address
from notifier.errors import Fault, InvalidRequestError, escape_pointer
from notifier.rendering.protocol import SourceCheck
from notifier.retention_settings import MAX_KEEP_DAYS
from notifier.states import Category, Priority, WhenUncertain
from notifier.template_language.context_filters import find_scheme_fault
from notifier.template_language.template_source import (
    LANGUAGE_WORDS,
    LOCALES,
    PARTS,
    RESERVED_NAMES,
    RenderFault,
    TemplateSettings,
    TemplateSource,
)
from notifier.template_lint.lint_remark import Severity

MAX_SOURCE_BYTES = 512 * 1024  # bytes of all files together
MAX_SAMPLE_BYTES = 256 * 1024  # bytes as JSON, as of the variables of a notification
MAX_FILES = 100
MAX_MAILBOX_LENGTH = 640  # characters, as the database has it
MAX_SCHEMES = 20
SLUG = re.compile(r"[a-z][a-z0-9_-]{0,63}")
SLUG_RULE = "a slug has lower-case letters, digits, - and _, and starts with a letter"
SETTINGS_FILE, SAMPLE = "template.toml", "sample.json"
_POINTERS = {SETTINGS_FILE: "/settings", SAMPLE: "/sample", "mail": "/files"}
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
"""A language tag, as far as folders and fallback need it (RFC 5646 §2.1)."""
_PATH = re.compile(r"[^.\s]+(\.[^.\s]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_DURATION = re.compile(r"(\d{1,4})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, kw_only=True)
class SourceProblem:
    """A problem that is found before anything is compiled: which file, which line, and a sentence for its author."""

    file: str  # within the template, or `_layouts/…`; empty: the template as a whole
    message: str
    line: int | None = None  # from 1
    key: str = ""  # of the settings

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.message}" if place else self.message


class SourceProblemError(ValueError):
    """A text has this problem."""

    def __init__(self, problem: SourceProblem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def require_valid_source(slug: str, source: TemplateSource, *, unfinished: bool = False) -> None:
    """Raise `InvalidRequestError` with all faults of the slug and the source; of `unfinished` ones names and sizes."""
    faults = [] if SLUG.fullmatch(slug) else [Fault("", "invalid_slug", SLUG_RULE)]
    faults += _find_limit_faults(source) if unfinished else find_source_faults(source)
    if faults:
        raise InvalidRequestError(faults)


def find_source_faults(source: TemplateSource) -> list[Fault]:
    """Find the faults of names, sizes, settings and the sample."""
    faults = _find_limit_faults(source)
    for problem in find_problems(source):
        code = "invalid_address" if problem.key in {"from", "reply_to"} else "invalid_setting"
        pointer = _get_file_pointer(problem.file) + (f"/{problem.key}" if problem.key else "")
        faults.append(Fault(pointer, code, problem.message))
    return faults


def list_problem_faults(source: TemplateSource) -> list[RenderFault]:
    """List the problems of settings, sample and locales in the form of rendering faults."""
    return [
        RenderFault(part=problem.file, line=problem.line, message=problem.message) for problem in find_problems(source)
    ]


def _find_limit_faults(source: TemplateSource) -> list[Fault]:
    """Find the faults of names and sizes: what is not even kept in an unfinished draft."""
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
    return faults


def require_renderable(checked: SourceCheck) -> None:
    """Raise `InvalidRequestError` if the source does not render."""
    if checked.faults:
        raise InvalidRequestError([build_render_fault(fault) for fault in checked.faults])


def require_publishable(checked: SourceCheck) -> None:
    """Raise `InvalidRequestError` if the source does not render, or a lint rule forbids it."""
    if faults := list_publish_faults(checked):
        raise InvalidRequestError(faults)


def list_publish_faults(checked: SourceCheck) -> list[Fault]:
    """List why the source cannot be published: it does not render, or a lint rule forbids it."""
    if checked.faults:
        return [build_render_fault(fault) for fault in checked.faults]
    errors = [remark for remark in checked.remarks if remark.severity is Severity.ERROR]
    return [Fault(_get_file_pointer(error.file), "template_blocked", str(error)) for error in errors]


def build_render_fault(fault: RenderFault) -> Fault:
    """Convert a fault of rendering into a fault of the request."""
    return Fault(_get_file_pointer(fault.part), fault.code.value, str(fault))


def _get_file_pointer(file: str) -> str:
    return _POINTERS.get(file) or f"/files/{escape_pointer(file)}"


def is_part_name(name: str) -> bool:
    """Whether this is the name of a part."""
    path = PurePosixPath(name)
    if path.name not in PARTS or str(path) != name:
        return False
    return len(path.parts) == 1 or (
        len(path.parts) == 3 and name.startswith(LOCALES) and bool(_LANGUAGE_TAG.fullmatch(path.parts[1]))  # noqa: PLR2004
    )


def find_problems(source: TemplateSource) -> list[SourceProblem]:
    """Find the problems of settings, sample and locales."""
    if not isinstance(source.sample, dict):
        return [SourceProblem(file=SAMPLE, message="must be an object: { … }")]
    problems = []
    if reserved := sorted(RESERVED_NAMES & set(source.sample)):
        message = f"{', '.join(reserved)} is provided by rendering and cannot be a variable"
        problems.append(SourceProblem(file=SAMPLE, message=message))
    if words := sorted(LANGUAGE_WORDS & set(source.sample)):
        message = f"{', '.join(words)} is a reserved word of templates: give the variable another name"
        problems.append(SourceProblem(file=SAMPLE, message=message))
    faults = _find_setting_faults(source.settings) + _find_path_faults(source.settings, source.sample)
    problems += [SourceProblem(file=SETTINGS_FILE, message=message, key=key) for key, message in faults]
    lower: dict[str, str] = {}
    for tag in source.locales:
        if tag.lower() in lower:
            message = f"is the same language as locales/{lower[tag.lower()]}"
            problems.append(SourceProblem(file=f"{LOCALES}{tag}", message=message))
        lower[tag.lower()] = tag
    return problems


def parse_duration(duration: str | None) -> int | None:
    """Parse a duration such as `30m`, `1h` or `3d`; return seconds. Raises `ValueError`."""
    if duration is None:
        return None
    match = _DURATION.fullmatch(duration)
    if not match or not int(match[1]):
        raise ValueError(f"{duration!r} is not a duration such as 30m, 1h or 3d")
    return int(match[1]) * _SECONDS[match[2]]


def _find_setting_faults(settings: TemplateSettings) -> list[tuple[str, str]]:
    """Find the keys with invalid values, each with a sentence that names it."""
    faults = []
    if not settings.name.strip() or _CONTROL.search(settings.name):
        faults.append(("name", "name must be one line of text"))
    if settings.category not in set(Category):
        faults.append(("category", f"category is transactional or marketing, not {settings.category!r}"))
    if settings.priority not in set(Priority):
        faults.append(("priority", f"priority is high, normal or bulk, not {settings.priority!r}"))
    if settings.category == Category.MARKETING and settings.priority != Priority.BULK:
        faults.append(("priority", "marketing is always bulk: set priority to bulk"))
    if settings.when_uncertain not in set(WhenUncertain):
        faults.append(("when_uncertain", f"when_uncertain is resend or hold, not {settings.when_uncertain!r}"))
    if settings.keep_content_days is not None and not 0 <= settings.keep_content_days <= MAX_KEEP_DAYS:
        faults.append(("keep_content_days", f"keep_content_days is a number of days from 0 to {MAX_KEEP_DAYS}"))
    faults += [("link_schemes", message) for message in _find_scheme_faults(settings.link_schemes)]
    if not _LANGUAGE_TAG.fullmatch(settings.locale):
        faults.append(("locale", f"locale is a language tag such as en, fr or pt-BR, not {settings.locale!r}"))
    try:
        parse_duration(settings.expires_after)
    except ValueError as error:
        faults.append(("expires_after", f"expires_after: {error}"))
    mailboxes = {"from": settings.from_, "reply_to": settings.reply_to}
    reasons = {key: _find_mailbox_fault(mailbox) for key, mailbox in mailboxes.items() if mailbox is not None}
    return faults + [(key, f"{key} is an address or Name <address>; {why}") for key, why in reasons.items() if why]


def _find_scheme_faults(schemes: tuple[str, ...]) -> Iterator[str]:
    if len(schemes) > MAX_SCHEMES:
        yield f"link_schemes has at most {MAX_SCHEMES} schemes"
    for scheme in schemes:
        if why := find_scheme_fault(scheme):
            yield f"link_schemes has {scheme!r}: {why}"


def _find_mailbox_fault(text: str) -> str | None:
    if len(text) > MAX_MAILBOX_LENGTH:
        return f"this one has over {MAX_MAILBOX_LENGTH} characters"
    if _CONTROL.search(text):
        return "this one has a line break or a control character in it"
    try:
        email_address.parse_named_address(text)
    except email_address.InvalidAddressError as error:
        return str(error)
    return None


def _find_path_faults(settings: TemplateSettings, sample: dict[str, Any]) -> list[tuple[str, str]]:
    """Find the variables that a list names twice, or that the sample does not have."""
    faults = []
    for key in ("optional", "public", "secret"):
        paths: tuple[str, ...] = getattr(settings, key)
        faults += [(key, f"{key} names {path!r} twice") for path in sorted(set(paths)) if paths.count(path) > 1]
        for path in sorted(set(paths)):
            if not _PATH.fullmatch(path):
                faults.append((key, f"{key} has {path!r}: a variable is written name, or order.total with dots"))
            elif not _path_exists(sample, path.split(".")):
                faults.append((key, f"{key} names {path!r}, which is not in sample.json"))
    return faults


def _path_exists(value: Any, path: list[str]) -> bool:
    """Whether the sample has the path; below an empty or null value every path is accepted."""
    if not path or value is None or value in ({}, []):
        return True
    if isinstance(value, list):
        return any(_path_exists(item, path) for item in value)
    return isinstance(value, dict) and path[0] in value and _path_exists(value[path[0]], path[1:])
