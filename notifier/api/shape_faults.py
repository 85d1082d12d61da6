"""Turns pydantic's errors into faults, in the words of JSON instead of Python.

A value itself is never repeated, because it may be secret.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from notifier.api import paging, value
from notifier.api.request_model import RequestModel, TooMany, place_at
from notifier.errors import Fault
from notifier.rendering.pointer import escape_pointer
from notifier.rendering.variables import LONGEST_SUGGESTED, MOST_SUGGESTIONS

_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing_field",
    "string_too_long": "too_long",
    "too_long": "too_many",
    "too_many_names": "too_many",
    "time_out_of_range": "time_out_of_range",
}
_KEY = "[key]"
"""How pydantic marks the error of a name: this step follows the name."""
_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "an array []",
    "dict_type": "an object {}",
    "model_type": "an object {}",
    "model_attributes_type": "an object {}",
}
"""The expected type, for errors about another type."""
_FORMS: dict[str, str] = {
    value.LOCALE: "a language tag such as en or fr-CA (BCP 47)",
    paging.NO_NUL: "NUL cannot stand in it",
}
_SENTENCES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "string_too_long": lambda limits: f"at most {limits['max_length']} characters",
    "string_too_short": lambda limits: f"at least {limits['min_length']} character(s)",
    "too_long": lambda limits: f"at most {limits['max_length']} entries",
    "too_many_names": lambda limits: f"at most {limits['max_length']} fields",
    "time_out_of_range": lambda _: "in UTC it has a year before 1 or after 9999",
    "too_short": lambda limits: f"at least {limits['min_length']} entry(s)",
    "greater_than_equal": lambda limits: f"at least {limits['ge']}",
    "less_than_equal": lambda limits: f"at most {limits['le']}",
    "enum": lambda limits: _one_of(limits["expected"]),
    "literal_error": lambda limits: _one_of(limits["expected"]),
    "string_pattern_mismatch": lambda limits: _FORMS.get(limits["pattern"], "this text has another form"),
    "value_error": lambda limits: str(limits["error"]),
    "timezone_aware": lambda _: "a time needs an offset, such as Z or +01:00",
    "int_parsing": lambda _: "expected a whole number",
    "int_parsing_size": lambda _: "this number is too large",
    "bool_parsing": lambda _: "expected true or false",
    "uuid_parsing": lambda _: "expected an id, such as 01890a5d-ac96-774b-bcce-b302099a8057",
}
_WORDS = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array []",
    dict: "an object {}",
}


def expected_object(body: Any) -> Fault:
    """Build the fault of a body that is not an object."""
    return Fault("", "invalid_type", f"expected an object {{}}, but this is {_word(body)}")


def faults_of(errors: Iterable[Any], model: type[RequestModel], body: Any) -> list[Fault]:
    """Build the fault of each pydantic error; `body` is the body as it was received."""
    return [_fault(error, model, body, suggests=number < MOST_SUGGESTIONS) for number, error in enumerate(errors)]


def detail_of(error: Any) -> str:
    """Describe a pydantic error in a phrase."""
    kind = error["type"]
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, but this is {_word(error['input'])}"
    if kind in _SENTENCES:
        return _SENTENCES[kind](error.get("ctx", {}))
    return value.TIME_FORM if kind.startswith("datetime_") else "this value cannot stand here"


def _fault(error: Any, model: type[RequestModel], body: Any, *, suggests: bool) -> Fault:
    path: Sequence[str | int] = error["loc"]
    if isinstance(error["input"], TooMany):
        return Fault(_pointer(path), "too_many", f"at most {error['input'].most} entries")
    if path[-1:] == (_KEY,) and not isinstance(_at(body, path[:-1]), dict):
        path, detail = path[:-1], f"the name: {detail_of(error)}"
    elif error["type"] == "missing":
        detail = "this field is needed; null counts as left out" if _is_null(body, path) else "this field is needed"
    elif error["type"] == "extra_forbidden":
        detail = f"there is no such field{_nearest(path, model, body) if suggests else ''}"
    elif error["input"] is None and not model.null_is_unset and len(path) == 1:
        detail = "null is refused here: leave the field out and it stays as it is, or give its new value"
    else:
        detail = detail_of(error)
    return Fault(_pointer(path), _CODES.get(error["type"], "invalid_type"), detail)


def _pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{escape_pointer(str(step))}" for step in path)


def _nearest(path: Sequence[str | int], model: type[RequestModel], body: Any) -> str:
    """Suggest a similar field that was not sent; empty if there is none."""
    place, name = place_at(model, path[:-1]), str(path[-1])
    if place is None or len(name) > LONGEST_SUGGESTED:
        return ""
    sent = _at(body, path[:-1])
    matches = get_close_matches(name.lower(), [field for field in place.fields if field not in sent], n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def _at(body: Any, path: Sequence[str | int]) -> Any:
    """Get the value at a path; None if there is none."""
    for step in path:
        is_step = isinstance(body, dict) if isinstance(step, str) else isinstance(body, list)
        if not is_step or (isinstance(body, dict) and step not in body):
            return None
        body = body[step]
    return body


def _is_null(body: Any, path: Sequence[str | int]) -> bool:
    parent = _at(body, path[:-1])
    return isinstance(parent, dict) and path[-1] in parent and parent[path[-1]] is None


def _word(value_: Any) -> str:
    if isinstance(value_, bool):
        return "true" if value_ else "false"
    return _WORDS.get(type(value_), "something else")


def _one_of(choices: str) -> str:
    """List the allowed values with JSON's quotes."""
    return "expected " + choices.replace("'", '"')
