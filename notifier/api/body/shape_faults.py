"""Turns pydantic's errors into faults, in the words of JSON instead of Python.

A value itself is never repeated, because it may be secret.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from notifier.api.body.request_model import OversizedPart, RequestModel, find_shape
from notifier.api.errors.validation_messages import describe_error, name_type
from notifier.errors import Fault, escape_pointer
from notifier.template_language.variable_schema import MAX_SUGGESTED_LENGTH, MAX_SUGGESTIONS

_FAULT_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing_field",
    "string_too_long": "too_long",
    "too_long": "too_many",
    "too_many_names": "too_many",
    "time_out_of_range": "time_out_of_range",
}
_NAME_MARK = "[key]"
"""How pydantic marks the error of a name: this step follows the name."""


def build_not_object_fault(body: Any) -> Fault:
    """Build the fault of a body that is not an object."""
    return Fault("", "invalid_type", f"expected an object {{}}, but this is {name_type(body)}")


def build_faults(errors: Iterable[Any], model: type[RequestModel], body: Any) -> list[Fault]:
    """Build the fault of each pydantic error; `body` is the body as it was received."""
    return [_build_fault(error, model, body, suggests=number < MAX_SUGGESTIONS) for number, error in enumerate(errors)]


def _build_fault(error: Any, model: type[RequestModel], body: Any, *, suggests: bool) -> Fault:
    path: Sequence[str | int] = error["loc"]
    if isinstance(error["input"], OversizedPart):
        return Fault(_build_pointer(path), "too_many", f"at most {error['input'].max_length} entries")
    if path[-1:] == (_NAME_MARK,) and not isinstance(_get_value_at(body, path[:-1]), dict):
        path, detail = path[:-1], f"the name: {describe_error(error)}"
    elif error["type"] == "missing":
        detail = "this field is needed; null counts as left out" if _is_null_at(body, path) else "this field is needed"
    elif error["type"] == "extra_forbidden":
        detail = f"there is no such field{_suggest_field(path, model, body) if suggests else ''}"
    elif error["input"] is None and not model.null_is_unset and len(path) == 1:
        detail = "null is refused here: leave the field out and it stays as it is, or give its new value"
    else:
        detail = describe_error(error)
    return Fault(_build_pointer(path), _FAULT_CODES.get(error["type"], "invalid_type"), detail)


def _build_pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{escape_pointer(str(step))}" for step in path)


def _suggest_field(path: Sequence[str | int], model: type[RequestModel], body: Any) -> str:
    """Suggest a similar field that was not sent; empty if there is none."""
    place, name = find_shape(model, path[:-1]), str(path[-1])
    if place is None or len(name) > MAX_SUGGESTED_LENGTH:
        return ""
    sent = _get_value_at(body, path[:-1])
    matches = get_close_matches(name.lower(), [field for field in place.fields if field not in sent], n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def _get_value_at(body: Any, path: Sequence[str | int]) -> Any:
    """Get the value at a path; None if there is none."""
    for step in path:
        is_step = isinstance(body, dict) if isinstance(step, str) else isinstance(body, list)
        if not is_step or (isinstance(body, dict) and step not in body):
            return None
        body = body[step]
    return body


def _is_null_at(body: Any, path: Sequence[str | int]) -> bool:
    parent = _get_value_at(body, path[:-1])
    return isinstance(parent, dict) and path[-1] in parent and parent[path[-1]] is None
