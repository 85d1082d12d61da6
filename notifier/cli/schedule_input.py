"""The schedules that an operator types or keeps in a TOML file; each fault names its schedule and field."""

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notifier.cli.command import USAGE_ERROR, CommandError, strip_control_characters

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notifier.errors import Fault
    from notifier.jobs.schedule_request import ScheduleRequest

MAX_FILE_BYTES = 256 * 1024


def read_schedule_file(file: Path) -> dict[str, "ScheduleRequest"]:
    """Read the schedules of a TOML file. Raises `CommandError` with a line for each fault."""
    from notifier.db.data_directory import describe_os_error
    from notifier.errors import Fault

    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise CommandError(f"{file}: at most {MAX_FILE_BYTES // 1024} KiB", USAGE_ERROR)
        document = tomllib.loads(content.decode())
    except OSError as error:
        raise CommandError(f"{file}: {describe_os_error(error)}", USAGE_ERROR) from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: it is not UTF-8, as TOML must be", USAGE_ERROR) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is nested too deeply"
        raise CommandError(f"{file}: it is not valid TOML: {reason}", USAGE_ERROR) from error
    tables, others = document.get("schedules"), sorted(document.keys() - {"schedules"})
    if not isinstance(tables, dict) or not tables or others:
        extra = f", and nothing else: remove `{others[0]}`" if others else ""
        raise CommandError(f"{file}: it must have a table [schedules.NAME] for each schedule{extra}", USAGE_ERROR)
    requests: dict[str, ScheduleRequest] = {}
    faults: list[Fault] = []
    for name, table in tables.items():
        request, own = parse_schedule_table(table)
        faults += [Fault(f"/schedules/{name}{fault.pointer}", fault.code, fault.detail) for fault in own]
        if request is not None:
            requests[name] = request
    if faults:
        raise build_fault_error(faults)
    return requests


def parse_schedule_table(table: Any) -> tuple["ScheduleRequest | None", list["Fault"]]:
    """Parse a schedule as the API parses it, or find its faults."""
    from notifier.api import request_reader
    from notifier.api.schedules.models import ScheduleIn
    from notifier.errors import Fault, InvalidRequestError
    from notifier.strict_json import MalformedJsonError, TooManyValuesError

    try:
        text = json.dumps(table, default=_refuse_value).encode()
        body = request_reader.load_json(ScheduleIn, text)
        return request_reader.validate_body(ScheduleIn, body).build_request(), []
    except InvalidRequestError as error:
        return None, list(error.faults)
    except (MalformedJsonError, TooManyValuesError, TypeError) as error:
        return None, [Fault("", "invalid_value", str(error))]


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


def build_fault_error(faults: "Iterable[Fault]") -> CommandError:
    """Build the error of a command: a line for each fault, such as `schedules.daily.zone: …`."""
    lines = [f"{fault.pointer.strip('/').replace('/', '.') or 'schedule'}: {fault.detail}" for fault in faults]
    return CommandError("\nnotifier: ".join(map(strip_control_characters, lines)), USAGE_ERROR)
