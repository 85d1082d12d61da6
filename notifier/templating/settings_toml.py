"""`template.toml` as text: parsed with messages that name key and line, and written so that it parses to the same."""

import difflib
import json
import re
import tomllib
from typing import Any

import msgspec

from notifier.template_language.template_source import TemplateSettings
from notifier.templating.validation import SETTINGS_FILE, SourceProblem, SourceProblemError

_KEYS = {field.encode_name: field for field in msgspec.structs.fields(TemplateSettings)}
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_ALWAYS = frozenset({"name", "category", "priority"})  # written even if they have their default
_NUMBERS = frozenset({"keep_content_days"})
_MAX_LINE_LENGTH = 120


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
        raise SourceProblemError(SourceProblem(file=SETTINGS_FILE, message='name is missing: give it one: name = "…"'))
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
    if key in _NUMBERS:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return None if is_number else f"{key} must be a whole number, without quotes"
    return None if isinstance(value, str) else f"{key} must be a text in quotes"


def _is_list(key: str) -> bool:
    return isinstance(_KEYS[key].default, tuple)


def find_line(text: str, key: str) -> int | None:
    """Find the line on which the key gets its value, from 1."""
    match = re.search(
        rf"""^[ \t]*["']?{re.escape(key)}["']?[ \t]*[=.]|^[ \t]*\[+[ \t]*{re.escape(key)}\b""", text, re.MULTILINE
    )
    return text.count("\n", 0, match.start()) + 1 if match else None


def format_settings(settings: TemplateSettings) -> str:
    """Format the settings as the text of `template.toml`."""
    values = msgspec.to_builtins(settings)
    lines = []
    for key, field in _KEYS.items():
        value = values[key]
        if key in _ALWAYS or value != msgspec.to_builtins(field.default):
            lines.append(f"{key} = {_format_value(key, value)}\n")
    return "".join(lines)


def _format_value(key: str, value: Any) -> str:
    if key in _NUMBERS:
        return str(value)
    return _format_list(key, value) if _is_list(key) else _format_text(value)


def _format_text(value: str) -> str:
    """Format a basic string: its escapes are those of JSON, but DEL has to be escaped too (TOML 1.0, String)."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _format_list(key: str, values: list[str]) -> str:
    texts = [_format_text(value) for value in values]
    line = f"[{', '.join(texts)}]"
    if len(key) + len(line) + len(" = ") <= _MAX_LINE_LENGTH:
        return line
    return "[\n" + "".join(f"  {text},\n" for text in texts) + "]"
