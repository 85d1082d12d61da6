"""What is wrong with the shape of a request, in JSON's words: never in those of the library that found it.

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
"""How the library marks a fault of a name, behind the name itself."""
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
"""What the value should have been, where its type in JSON is another."""
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
    """What is wrong with a body that is no object."""
    return Fault("", "invalid_type", f"expected an object {{}}, but this is {_word(body)}")


def faults_of(errors: Iterable[Any], model: type[RequestModel], body: Any) -> list[Fault]:
    """Each fault that the library has found in a body, of which null has been taken away where it counts as unset."""
    return [_fault(error, model, body, suggests=number < MOST_SUGGESTIONS) for number, error in enumerate(errors)]


def detail_of(error: Any) -> str:
    """What is wrong with one value."""
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
    """A question after the field that was meant, if there is one like it that was not sent."""
    place, name = place_at(model, path[:-1]), str(path[-1])
    if place is None or len(name) > LONGEST_SUGGESTED:
        return ""
    sent = _at(body, path[:-1])
    near = get_close_matches(name.lower(), [known for known in place.fields if known not in sent], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _at(body: Any, path: Sequence[str | int]) -> Any:
    """The value at a path; None if there is none."""
    for step in path:
        is_step = isinstance(body, dict) if isinstance(step, str) else isinstance(body, list)
        if not is_step or (isinstance(body, dict) and step not in body):
            return None
        body = body[step]
    return body


def _is_null(body: Any, path: Sequence[str | int]) -> bool:
    above = _at(body, path[:-1])
    return isinstance(above, dict) and path[-1] in above and above[path[-1]] is None


def _word(value_: Any) -> str:
    if isinstance(value_, bool):
        return "true" if value_ else "false"
    return _WORDS.get(type(value_), "something else")


def _one_of(words: str) -> str:
    """The words that may stand somewhere, in the quotes that JSON has."""
    return "expected " + words.replace("'", '"')
