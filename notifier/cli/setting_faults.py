"""Describes wrong `NOTIFIER_…` variables, one line each, without showing a secret."""

import difflib
from typing import TYPE_CHECKING

from notifier.environment import CLIENT_VARIABLES, PREFIX, SECRET_VARIABLES, list_origins
from notifier.setting_source import list_variables
from notifier.settings import Settings

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

MAX_SHOWN_FAULTS = 40
_REASONS = {
    "value_error": "{error}",
    "int_parsing": "must be a whole number, and is {shown}",
    "int_parsing_size": "must be a whole number, and is {shown}",
    "int_from_float": "must be a whole number, and is {shown}",
    "float_parsing": "must be a number, and is {shown}",
    "finite_number": "must be a number, and is {shown}",
    "greater_than_equal": "must be at least {ge}, and is {shown}",
    "greater_than": "must be more than {gt}, and is {shown}",
    "less_than_equal": "must be at most {le}, and is {shown}",
    "enum": "must be {expected}, and is {shown}",
    "extra_forbidden": "there is no such setting; {advice}",
    "model_type": "is a group of settings and has no value of its own: set {member} and so on",
    "string_unicode": "must be UTF-8 text",
}
"""By pydantic's error type."""


def describe_setting_faults(error: "ValidationError") -> list[str]:
    """Describe each fault, beginning with the name of its variable."""
    origins = list_origins()
    return [_describe_fault(fault, origins) for fault in error.errors(include_url=False)]


def _describe_fault(fault: "ErrorDetails", origins: dict[str, str]) -> str:
    name, value = _find_variable(fault["loc"]), str(fault["input"])
    reason = _REASONS.get(fault["type"], "must be one plain value").format(
        shown=repr(value if len(value) <= MAX_SHOWN_FAULTS else value[:MAX_SHOWN_FAULTS] + "…"),
        advice=_advise(name),
        member=next((member for member in list_variables(Settings) if member.startswith(f"{name}__")), name),
        **fault.get("ctx", {}),
    )
    origin = origins.get(name, "environment")
    where = "" if origin == "environment" else f" (in {origin})"
    return f"{name}: {reason}{where}" if fault["loc"] else reason


def _find_variable(location: tuple[int | str, ...]) -> str:
    name = "__".join(str(part) for part in location).upper()
    return name if name.startswith(PREFIX) else PREFIX + name


def _advise(name: str) -> str:
    """Advise what to do about an unknown variable."""
    settings = set(list_variables(Settings))
    if (plain := name.removesuffix("_FILE")) in settings:
        return f"only a secret can be read from a file, so set {plain}"
    known = settings | CLIENT_VARIABLES | {f"{secret}_FILE" for secret in SECRET_VARIABLES}
    endings = sorted(known_name.removeprefix(PREFIX) for known_name in known)
    nearest = difflib.get_close_matches(name.removeprefix(PREFIX), endings, n=1)
    return f"did you mean {PREFIX}{nearest[0]}?" if nearest else "remove it"
