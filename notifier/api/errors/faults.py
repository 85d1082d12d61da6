"""The faults of a request: built from pydantic's errors in the words of JSON, and listed within a reply's limits.

A value itself is never repeated, because it may be secret.
"""

import json
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Final

from notifier.api import fields, pagination
from notifier.api.request_model import OversizedPart, RequestModel, find_shape
from notifier.errors import Fault, escape_pointer
from notifier.template_language.variable_schema import MAX_SUGGESTED_LENGTH, MAX_SUGGESTIONS

MAX_FAULTS: Final = 100  # listed faults of a reply; the others are counted
MAX_POINTER_BYTES: Final = 500  # of a fault's pointer, as JSON
MAX_FAULT_DETAIL_BYTES: Final = 1_000  # of a fault's detail, as JSON
MAX_DETAIL_BYTES: Final = 4_000  # of a problem's `detail`, as JSON
MAX_FAULTS_BYTES: Final = 56 * 1024  # of all listed faults, so that a refusal stays below 64 KiB
_BYTES_OF_A_CHARACTER = 6
"""The longest form of a character in JSON: `\\u0001`."""
_ELLIPSIS = "…"
_FAULT_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing_field",
    "string_too_long": "too_long",
    "too_long": "too_many",
    "too_many_names": "too_many",
    "time_out_of_range": "time_out_of_range",
}
_NAME_MARK = "[key]"
"""The last step of the path of an error in a name, as pydantic marks it."""
_EXPECTED_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "an array []",
    "dict_type": "an object {}",
    "model_type": "an object {}",
    "model_attributes_type": "an object {}",
}
"""The expected type, by pydantic's error."""
_PATTERN_DESCRIPTIONS = {
    fields.LOCALE_PATTERN: "a language tag such as en or fr-CA (BCP 47)",
    pagination.NO_NUL: "it must not contain NUL",
}
_SENTENCES = {
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} character(s)",
    "too_long": "at most {max_length} entries",
    "too_many_names": "at most {max_length} fields",
    "time_out_of_range": "in UTC it has a year before 1 or after 9999",
    "too_short": "at least {min_length} entry(s)",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "value_error": "{error}",
    "timezone_aware": "a time needs an offset, such as Z or +01:00",
    "int_parsing": "expected a whole number",
    "int_parsing_size": "this number is too large",
    "bool_parsing": "expected true or false",
    "uuid_parsing": "expected an id, such as 01890a5d-ac96-774b-bcce-b302099a8057",
}
"""What is wrong, with the limits of pydantic's error."""
_TYPE_NAMES = {
    type(None): "null",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array []",
    dict: "an object {}",
}


def build_not_object_fault(body: Any) -> Fault:
    """Build the fault of a body that is not an object."""
    return Fault("", "invalid_type", f"expected an object {{}}, but this is {_name_type(body)}")


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
        detail = "null is refused here: leave the field out to keep its value, or give the new value"
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
    for step in path:
        is_step = isinstance(body, dict) if isinstance(step, str) else isinstance(body, list)
        if not is_step or (isinstance(body, dict) and step not in body):
            return None
        body = body[step]
    return body


def _is_null_at(body: Any, path: Sequence[str | int]) -> bool:
    parent = _get_value_at(body, path[:-1])
    return isinstance(parent, dict) and path[-1] in parent and parent[path[-1]] is None


def describe_error(error: Any) -> str:
    """Describe a pydantic error in a phrase."""
    kind, limits = error["type"], error.get("ctx", {})
    if kind in _EXPECTED_TYPES:
        return f"expected {_EXPECTED_TYPES[kind]}, but this is {_name_type(error['input'])}"
    if kind in _SENTENCES:
        return _SENTENCES[kind].format(**limits)
    if kind in {"enum", "literal_error"}:
        return f"expected {limits['expected']}".replace("'", '"')
    if kind == "string_pattern_mismatch":
        return _PATTERN_DESCRIPTIONS.get(limits["pattern"], "this text does not have the required form")
    return fields.TIME_FORM if kind.startswith("datetime_") else "this value is not allowed here"


def _name_type(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _TYPE_NAMES.get(type(value), "something else")


def shorten_text(text: str, max_bytes: int) -> str:
    """Shorten a text to `max_bytes` bytes of JSON; a shortened text ends with an ellipsis."""
    if len(text) * _BYTES_OF_A_CHARACTER <= max_bytes:
        return text
    beginning = text[:max_bytes]
    if beginning == text and _measure_json(text) <= max_bytes:
        return text
    while _measure_json(beginning) > max_bytes - len(_ELLIPSIS.encode()):
        beginning = beginning[: len(beginning) * 7 // 8]
    return beginning + _ELLIPSIS


def _measure_json(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode(errors="replace")) - len('""')


class FaultLister:
    """Lists the faults of one reply up to its limits, and counts the others."""

    def __init__(self, *, max_faults: int = MAX_FAULTS, max_bytes: int = MAX_FAULTS_BYTES) -> None:
        self.faults_left = max_faults
        self._bytes_left = max_bytes

    def list_faults(self, faults: Sequence[Fault], *, at_least: int = 0) -> tuple[list[dict[str, str]], int]:
        """List faults within the limits; returns them and the number of the others.

        `at_least` faults are listed even above the maximum number, but never above the maximum of bytes.
        """
        listed: list[dict[str, str]] = []
        for fault in faults[: max(self.faults_left, at_least)]:
            item = {
                "pointer": shorten_text(fault.pointer, MAX_POINTER_BYTES),
                "code": fault.code,
                "detail": shorten_text(fault.detail, MAX_FAULT_DETAIL_BYTES),
            }
            size = len(json.dumps(item, ensure_ascii=False).encode(errors="replace"))
            if size > self._bytes_left:
                break
            self._bytes_left -= size
            self.faults_left -= 1
            listed.append(item)
        return listed, len(faults) - len(listed)


def get_common_code(faults: Sequence[Fault]) -> str:
    """Get the code of a refusal: that of its faults if all have the same, else `invalid_request`."""
    codes = {fault.code for fault in faults}
    return codes.pop() if len(codes) == 1 else "invalid_request"


def build_more_errors(more: int) -> dict[str, Any]:
    """Build the member with the number of faults that are not listed; empty if all are listed."""
    return {"more_errors": more} if more else {}
