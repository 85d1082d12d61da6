"""Describes wrong `NOTIFIER_…` variables, one line each, without showing a secret."""

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel

from notifier.environment import PREFIX
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
    "extra_forbidden": "there is no such setting{nearest}",
    "model_type": "is a group of settings and has no value of its own: set {member} and so on",
    "string_unicode": "must be UTF-8 text",
}
"""By pydantic's error type."""


def list_variables(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> Iterator[str]:
    """List the names of all variables that can be set."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from list_variables(kind, f"{prefix}{name.upper()}__")
        else:
            yield str(field.validation_alias or prefix + name.upper())


def describe_setting_faults(error: "ValidationError") -> list[str]:
    """Describe each fault, beginning with the name of its variable."""
    return [f"{_variable(fault['loc'])}: {_reason(fault)}" for fault in error.errors(include_url=False)]


def _variable(location: tuple[int | str, ...]) -> str:
    name = "__".join(str(part) for part in location).upper()
    return name if name.startswith(PREFIX) else PREFIX + name


def _reason(fault: "ErrorDetails") -> str:
    name, value = _variable(fault["loc"]), str(fault["input"])
    reason = _REASONS.get(fault["type"], "must be one plain value")
    return reason.format(
        shown=repr(value if len(value) <= MAX_SHOWN_FAULTS else value[:MAX_SHOWN_FAULTS] + "…"),
        nearest=_nearest(name),
        member=next((member for member in list_variables() if member.startswith(f"{name}__")), name),
        **fault.get("ctx", {}),
    )


def _nearest(name: str) -> str:
    names = difflib.get_close_matches(name, list_variables(), n=1)
    return f"; did you mean {names[0]}?" if names else ""
