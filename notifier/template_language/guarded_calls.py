"""Wrappers around filters, tests and functions that turn Python's errors into plain explanations.

Each filter says which kind of value it accepts, with an example. Python's errors never reach a person.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import GeneratorType
from typing import Any, Final, NamedTuple

from jinja2 import pass_eval_context
from jinja2.exceptions import FilterArgumentError
from jinja2.filters import make_attrgetter, sync_do_join
from jinja2.nodes import EvalContext
from jinja2.runtime import Undefined
from jinja2.sandbox import safe_range

from notifier.template_language.filters import ValueRefusedError, describe_value
from notifier.template_language.template_values import MISUSE_ERRORS, MisusedError, format_value

_MISUSE_ERRORS: Final = (*MISUSE_ERRORS, FilterArgumentError)
_ITERATOR_TYPES: Final = frozenset(
    {GeneratorType, type(reversed([])), type(reversed(())), type(reversed({})), type(reversed(range(0)))}
)
"""Iterators. They are made lists: they would fail outside the wrapper, and could be read only once."""
_NEVER_FAIL: Final = frozenset({"defined", "undefined"})


class FilterUsage(NamedTuple):
    """How a filter is used: a function that checks its value, the kind of value in words, and an example."""

    convert: Callable[[str, Any], Any]
    expected: str
    example: str


def _accept_any(_: str, value: Any) -> Any:
    return value


def _require_defined(_: str, value: Any) -> Any:
    return str(value) if isinstance(value, Undefined) else value  # raises for what is undefined


def _convert_shown(_: str, value: Any) -> str:
    return format_value(value)


def _convert_query(_: str, value: Any) -> Any:
    return (
        {name: format_value(inner) for name, inner in value.items()} if isinstance(value, dict) else format_value(value)
    )


def convert_text(name: str, value: Any) -> str:
    """The value as text; numbers and booleans as they are shown, null as nothing. Raises `ValueRefusedError`."""
    if type(value) is str:
        return value
    if isinstance(value, (str, int, float, Undefined)) or value is None:
        return format_value(value)
    raise ValueRefusedError(name, value, "text")


def _require_number(name: str, value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    raise ValueRefusedError(name, str(value) if isinstance(value, (str, Undefined)) else value, "a number")


def _require_items(name: str, value: Any) -> Any:
    if type(value) is list or isinstance(value, Iterable):
        return value
    raise ValueRefusedError(name, value, "a list")


_COMPARABLE: Final = "items that can be compared: only numbers, or only texts"
FILTER_USAGES: Final[Mapping[str, FilterUsage]] = {
    "abs": FilterUsage(_require_number, "a number", "{{ change | abs }}"),
    "capitalize": FilterUsage(convert_text, "text", "{{ name | capitalize }}"),
    "count": FilterUsage(_require_items, "a list", "{{ items | count }}"),
    "d": FilterUsage(_accept_any, "a value", '{{ note | d("none") }}'),
    "date": FilterUsage(_require_defined, 'a date such as "2026-03-09"', '{{ day | date("long") }}'),
    "datetime": FilterUsage(
        _require_defined, 'a date with a time, such as "2026-03-09T14:30:00Z"', '{{ at | datetime("short") }}'
    ),
    "default": FilterUsage(_accept_any, "a value", '{{ note | default("none") }}'),
    "e": FilterUsage(_convert_shown, "text", "{{ name | e }}"),
    "escape": FilterUsage(_convert_shown, "text", "{{ name | escape }}"),
    "first": FilterUsage(_require_items, "a list", "{{ items | first }}"),
    "float": FilterUsage(_require_defined, "a number, or one in a text", "{{ amount | float }}"),
    "int": FilterUsage(_require_defined, "a number, or one in a text", "{{ amount | int }}"),
    "join": FilterUsage(_require_items, "a list", '{{ names | join(", ") }}'),
    "last": FilterUsage(_require_items, "a list", "{{ items | last }}"),
    "left": FilterUsage(convert_text, "text", "{{ name | left(20) }}"),
    "length": FilterUsage(_require_items, "a list", "{{ items | length }}"),
    "list": FilterUsage(_require_items, "a list", "{{ items | list }}"),
    "lower": FilterUsage(convert_text, "text", "{{ name | lower }}"),
    "money": FilterUsage(_require_defined, "a number", '{{ total | money("EUR") }}'),
    "nl2br": FilterUsage(convert_text, "text", "{{ note | nl2br }}"),
    "number": FilterUsage(_require_defined, "a number", "{{ weight | number(1) }}"),
    "percent": FilterUsage(_require_defined, "a number", "{{ share | percent }}"),
    "plural": FilterUsage(_require_defined, "a number", '{{ n | plural("one item", "{n} items") }}'),
    "replace": FilterUsage(convert_text, "text", '{{ name | replace("a", "b") }}'),
    "reverse": FilterUsage(_require_items, "a list", "{% for item in items | reverse %}"),
    "right": FilterUsage(convert_text, "text", "{{ price | right(8) }}"),
    "round": FilterUsage(_require_number, "a number", "{{ total | round(2) }}"),
    "safe_url": FilterUsage(_require_defined, "an address", "{{ url | safe_url }}"),
    "sort": FilterUsage(_require_items, _COMPARABLE, '{% for item in items | sort(attribute="name") %}'),
    "sum": FilterUsage(_require_items, "a list of numbers", '{{ items | sum(attribute="price") }}'),
    "time": FilterUsage(_require_defined, 'a time, such as "14:30"', '{{ at | time(zone="Europe/Paris") }}'),
    "title": FilterUsage(convert_text, "text", "{{ name | title }}"),
    "trim": FilterUsage(convert_text, "text", "{{ name | trim }}"),
    "truncate": FilterUsage(convert_text, "text", "{{ note | truncate(40) }}"),
    "unique": FilterUsage(
        _require_items, "a list of texts or numbers", '{% for item in items | unique(attribute="name") %}'
    ),
    "upper": FilterUsage(convert_text, "text", "{{ name | upper }}"),
    "urlencode": FilterUsage(_convert_query, "text", "{{ name | urlencode }}"),
    "wordwrap": FilterUsage(convert_text, "text", "{{ note | wordwrap(70) }}"),
}
"""How each filter is used: all filters that templates have."""
_TEST_EXAMPLES: Final = {
    "divisibleby": "{% if n is divisibleby(3) %}",
    "even": "{% if loop.index is even %}",
    "in": '{% if "a" is in(items) %}',
    "odd": "{% if loop.index is odd %}",
}


@pass_eval_context
def join_items(eval_ctx: EvalContext, value: Iterable[Any], d: Any = "", attribute: Any = None) -> str:
    """The filter `join`: the items as they are shown, with a text in between."""
    items = map(make_attrgetter(eval_ctx.environment, attribute), value) if attribute is not None else value
    return sync_do_join(eval_ctx, [format_value(item) for item in items], format_value(d))


def guard_filters(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Wrap the filters so that they explain what they do not accept; filters without a usage stay as they are."""
    replaced = {**filters, "join": join_items}
    return {
        name: _guard_filter(name, function, FILTER_USAGES[name]) if name in FILTER_USAGES else function
        for name, function in replaced.items()
    }


def _guard_filter(name: str, function: Callable[..., Any], usage: FilterUsage) -> Callable[..., Any]:
    at = 1 if hasattr(function, "jinja_pass_arg") else 0  # place of the value, perhaps behind the context

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        value = usage.convert(name, args[at])
        args = (*args[:at], value, *args[at + 1 :])
        try:
            result = function(*args, **kwargs)
            return list(result) if type(result) in _ITERATOR_TYPES else result
        except _MISUSE_ERRORS as error:
            fits = _accepts_arguments(function, args, kwargs)
            raise _build_misuse_error(name, value, fits, args[at + 1 :] or kwargs) from error

    return call


def _build_misuse_error(name: str, value: Any, fits: bool, others: object) -> MisusedError:  # noqa: FBT001 - beside its call
    what = "a list" if isinstance(value, tuple) else describe_value(value)
    if not fits:
        message = f"“{name}” takes something else in its brackets."
    elif others:
        message = f"“{name}” cannot work with {what}, or with what stands in its brackets."
    else:
        message = f"“{name}” cannot take {what}."
    usage = FILTER_USAGES[name]
    return MisusedError(name, message, f"It wants {usage.expected}. Write it so: {usage.example}.")


def _accepts_arguments(function: Callable[..., Any], args: Iterable[Any], kwargs: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def guard_tests(tests: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Wrap the tests so that they explain what they cannot compare."""
    return {name: test if name in _NEVER_FAIL else _guard_test(name, test) for name, test in tests.items()}


def _guard_test(name: str, test: Callable[..., Any]) -> Callable[..., Any]:
    message = f"“is {name}” cannot work with these values."
    advice = f"Write it so: {_TEST_EXAMPLES[name]}." if name in _TEST_EXAMPLES else "Compare values of one kind."

    @functools.wraps(test)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return test(*args, **kwargs)
        except _MISUSE_ERRORS as error:
            raise MisusedError(name, message, advice) from error

    return call


def guard_function(name: str, function: Callable[..., Any], example: str) -> Callable[..., Any]:
    """Wrap a function that templates call, so that it explains what it does not accept."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except _MISUSE_ERRORS as error:
            message = f"“{name}” cannot work with what stands in its brackets."
            raise MisusedError(name, message, f"Write it so: {example}.") from error

    return call


def build_range(*bounds: Any, **named: Any) -> range:
    """The function `range`; it accepts fractions that are whole numbers, as after a division."""
    whole = [int(bound) if isinstance(bound, float) and bound.is_integer() else bound for bound in bounds]
    try:
        return safe_range(*whole, **named)
    except OverflowError as error:
        raise OverflowError("Range too big") from error
    except (TypeError, ValueError) as error:
        message = "“range” cannot count with what stands in its brackets."
        example = "{% for n in range(1, 4) %}, which counts 1, 2, 3"
        raise MisusedError("range", message, f"It wants whole numbers. Write it so: {example}.") from error
