"""`template.toml` as text: parsed with messages that name key and line, and written so that it parses to the same."""

import difflib
import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec

from notifier import email_address
from notifier.states import Category, Priority, WhenUncertain
from notifier.template_language.context_filters import find_scheme_fault
from notifier.template_language.template_source import TemplateSettings
from notifier.templating.source_problem import SourceProblem, SourceProblemError

SETTINGS_FILE = "template.toml"
LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
"""A language tag, as far as folders and fallback need it (RFC 5646 §2.1)."""
MAX_MAILBOX_LENGTH = 640  # characters, as the database has it
MAX_SCHEMES = 20
_PATH = re.compile(r"[^.\s]+(\.[^.\s]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_DURATION = re.compile(r"(\d{1,4})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_KEYS = {field.encode_name: field for field in msgspec.structs.fields(TemplateSettings)}
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_ALWAYS = frozenset({"name", "category", "priority"})  # written even if they have their default
_MAX_LINE_LENGTH = 120


def parse_duration(duration: str | None) -> int | None:
    """Parse a duration such as `30m`, `1h` or `3d`; return seconds. Raises `ValueError`."""
    if duration is None:
        return None
    match = _DURATION.fullmatch(duration)
    if not match or not int(match[1]):
        raise ValueError(f"{duration!r} is not a duration such as 30m, 1h or 3d")
    return int(match[1]) * _SECONDS[match[2]]


def parse_settings(text: str) -> TemplateSettings:
    """Parse the settings. Raises `SourceProblemError`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SourceProblemError(_explain_syntax_error(text, str(error))) from error
    for key, value in values.items():
        if message := _find_type_fault(key, value):
            raise SourceProblemError(SourceProblem(file=SETTINGS_FILE, message=message, line=find_line(text, key)))
    if "name" not in values:
        raise SourceProblemError(
            SourceProblem(file=SETTINGS_FILE, message='name is missing: say what it is called: name = "…"')
        )
    return msgspec.convert(values, TemplateSettings)


def _explain_syntax_error(text: str, message: str) -> SourceProblem:
    place = _PLACE.search(message)
    line = int(place[1]) if place and place[1] else text.count("\n", 0, len(text.rstrip())) + 1
    words = _PLACE.sub("", message)
    return SourceProblem(
        file=SETTINGS_FILE, line=line, message=f'{words}. A line says key = "value" or key = ["one", "two"].'
    )


def _find_type_fault(key: str, value: Any) -> str | None:
    if key not in _KEYS:
        close = difflib.get_close_matches(key, _KEYS, n=1)
        return f"there is no key {key}" + (
            f": did you mean {close[0]}?" if close else f"; there are {', '.join(_KEYS)}"
        )
    if _is_list(key):
        is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return None if is_list else f'{key} must be a list of texts in quotes, such as ["name", "order.note"]'
    return None if isinstance(value, str) else f"{key} must be a text in quotes"


def _is_list(key: str) -> bool:
    return isinstance(_KEYS[key].default, tuple)


def find_line(text: str, key: str) -> int | None:
    """Find the line on which the key gets its value, from 1."""
    match = re.search(
        rf"""^[ \t]*["']?{re.escape(key)}["']?[ \t]*[=.]|^[ \t]*\[+[ \t]*{re.escape(key)}\b""", text, re.MULTILINE
    )
    return text.count("\n", 0, match.start()) + 1 if match else None


def find_setting_faults(settings: TemplateSettings) -> list[tuple[str, str]]:
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
    faults += [("link_schemes", message) for message in _find_scheme_faults(settings.link_schemes)]
    if not LANGUAGE_TAG.fullmatch(settings.locale):
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


def find_path_faults(settings: TemplateSettings, sample: dict[str, Any]) -> list[tuple[str, str]]:
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


def format_settings(settings: TemplateSettings) -> str:
    """Format the settings as the text of `template.toml`."""
    values = msgspec.to_builtins(settings)
    lines = []
    for key, field in _KEYS.items():
        value = values[key]
        if key in _ALWAYS or value != msgspec.to_builtins(field.default):
            lines.append(f"{key} = {_format_list(key, value) if _is_list(key) else _format_text(value)}\n")
    return "".join(lines)


def _format_text(value: str) -> str:
    """Format a basic string: its escapes are those of JSON, but DEL has to be escaped too (TOML 1.0, String)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _format_list(key: str, values: list[str]) -> str:
    texts = [_format_text(value) for value in values]
    line = f"[{', '.join(texts)}]"
    if len(key) + len(line) + len(" = ") <= _MAX_LINE_LENGTH:
        return line
    return "[\n" + "".join(f"  {text},\n" for text in texts) + "]"
