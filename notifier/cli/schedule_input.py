"""The schedules that an operator types or keeps in a TOML file; each fault names its schedule and field."""

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notifier.cli.command import USAGE_ERROR, CommandError, strip_control_characters

if TYPE_CHECKING:
    from notifier.client import InvalidRequestError

MAX_FILE_BYTES = 256 * 1024


def read_schedule_file(file: Path) -> dict[str, Any]:
    """Read the schedules of a TOML file. Raises `CommandError`; their fields are checked by the API."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise CommandError(f"{file}: at most {MAX_FILE_BYTES // 1024} KiB", USAGE_ERROR)
        document = tomllib.loads(content.decode())
    except OSError as error:
        raise CommandError(f"{file}: {(error.strerror or type(error).__name__).lower()}", USAGE_ERROR) from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: it is not UTF-8, as TOML must be", USAGE_ERROR) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is nested too deeply"
        raise CommandError(f"{file}: it is not valid TOML: {reason}", USAGE_ERROR) from error
    tables, others = document.get("schedules"), sorted(document.keys() - {"schedules"})
    if not isinstance(tables, dict) or not tables or others:
        extra = f", and nothing else: remove `{others[0]}`" if others else ""
        raise CommandError(f"{file}: it must have a table [schedules.NAME] for each schedule{extra}", USAGE_ERROR)
    for name, table in tables.items():
        _require_json(name, table)
    return tables


def _require_json(name: str, table: Any) -> None:
    """Raise `CommandError` for a table that is none, or that has a value that JSON has no type for."""
    if not isinstance(table, dict):
        raise CommandError(f"schedules.{name}: it must be a table, with timing and action", USAGE_ERROR)
    try:
        json.dumps(table, default=_refuse_value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CommandError(f"schedules.{name}: {error}", USAGE_ERROR) from error


def _refuse_value(value: Any) -> Any:
    raise TypeError(f"{value} is a {type(value).__name__}: write it as text")


def parse_options(words: list[str]) -> dict[str, Any]:
    """Parse settings of an action: `NAME=VALUE`, where the value is JSON, or else text. Raises `CommandError`."""
    options = {}
    for word in words:
        name, separator, text = word.partition("=")
        if not separator or not name:
            raise CommandError(f"--option {word!r}: write NAME=VALUE", USAGE_ERROR)
        try:
            options[name] = json.loads(text)
        except ValueError:
            options[name] = text
    return options


def build_fault_error(error: "InvalidRequestError") -> CommandError:
    """Build the error of a command: a line for each fault, such as `schedules.daily.zone: …`."""
    lines = [f"{_name_place(fault.pointer)}: {fault.detail}" for fault in error.errors] or [f"schedule: {error.detail}"]
    return CommandError("\nnotifier: ".join(map(strip_control_characters, lines)), USAGE_ERROR)


def _name_place(pointer: str) -> str:
    if pointer.startswith("/query/"):
        return f"--{pointer.removeprefix('/query/')}"
    return pointer.strip("/").replace("/", ".") or "schedule"
