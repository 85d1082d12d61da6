"""The methods of values that templates may call, such as `order.items()`, and access by brackets: `lines[0]`.

A method is found only where it is called, so that a caller's value may have any name.
"""

from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any, Final

from jinja2 import Environment
from jinja2.sandbox import SandboxedEscapeFormatter, SandboxedFormatter
from markupsafe import Markup

from notifier.mail.size_limit import within_limit
from notifier.template_language.value_text import format_value

_OF_TEXT: Final = frozenset(
    {
        "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "format_map", "index",
        "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle",
        "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind",
        "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase",
        "title", "upper", "zfill",
    }
)  # fmt: skip
VALUE_METHODS: Final[Mapping[type, frozenset[str]]] = {
    dict: frozenset({"copy", "get", "items", "keys", "values"}),
    list: frozenset({"copy", "count", "index"}),
    tuple: frozenset({"count", "index"}),
    str: _OF_TEXT,
    Markup: _OF_TEXT,
    float: frozenset({"is_integer"}),
}
"""The allowed methods of each type; the others change the caller's values, or return what no mail shows."""
MISUSE_ERRORS: Final = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, AssertionError)
"""The errors of Python for unsuitable arguments."""
_INDEXED: Final = (dict, list, str, tuple, range)


class MisusedError(Exception):
    """A filter, test or function got unsuitable arguments; the words are for the people who edit templates."""

    def __init__(self, name: str, message: str, advice: str) -> None:
        self.name, self.message, self.advice = name, message, advice
        super().__init__(f"{message} {advice}")


class _ValueFormatter(Formatter):
    """Writes each value as a mail does."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Apply the format to a number or a text; other values are written as a mail shows them."""
        is_plain = isinstance(value, (int, float, str)) and not isinstance(value, bool)
        return str(super().format_field(value if is_plain else format_value(value), format_spec))

    def convert_field(self, value: Any, conversion: Any) -> Any:  # noqa: ARG002 - the library's own signature
        """Ignore the conversion: `!r` would show Python's form of the value."""
        return value


class _TextFormatter(_ValueFormatter, SandboxedFormatter):
    pass


class _MarkupFormatter(_ValueFormatter, SandboxedEscapeFormatter):
    pass


def is_private(value: object, name: str) -> bool:
    """Whether the name is an internal attribute of Python."""
    return name.startswith("__") and hasattr(value, name)


def bind_method(environment: Environment, value: Any, name: str) -> Callable[..., Any]:
    """The method of a value, wrapped so that it explains unsuitable arguments."""
    method = _format_of(environment, value, name) if name.startswith("format") else getattr(value, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = method(*args, **kwargs)
        except MISUSE_ERRORS as error:
            message = f"“{name}()” cannot work with what stands in its brackets."
            raise MisusedError(name, message, _advice(name)) from error
        if isinstance(result, str):
            return within_limit(result)
        return list(result) if type(result).__name__ in ("dict_items", "dict_keys", "dict_values") else result

    return call


def _format_of(environment: Environment, text: str, name: str) -> Callable[..., Any]:
    """The method `format` or `format_map`, which reads values as templates do."""
    is_markup = isinstance(text, Markup)
    formatter = _MarkupFormatter(environment, escape=Markup.escape) if is_markup else _TextFormatter(environment)

    def write(*args: Any, **kwargs: Any) -> str:
        result = formatter.vformat(text, args, kwargs)
        return Markup(result) if is_markup else result  # noqa: S704 - what was put in is escaped

    return write if name == "format" else lambda values: write(**values)


def _advice(name: str) -> str:
    if name.startswith("format"):
        return "Put the pieces behind each other, or use “money”, “number” or “date”."
    return "Check how many values stand there, and whether each is text, a number or a list, as it should be."


def get_item(value: Any, place: Any) -> tuple[Any] | None:
    """The value under a key, index or slice, in a tuple; None if there is none."""
    if not isinstance(value, _INDEXED):
        return None
    try:
        return (value[place],)
    except (TypeError, ValueError, LookupError):
        pass
    try:
        return (value[_whole(place)],)
    except (TypeError, ValueError, LookupError):
        return None


def _whole(place: Any) -> Any:
    """The index or slice with whole numbers in place of fractions from a division, as in `items[: n / 2]`."""
    if isinstance(place, slice):
        return slice(_whole(place.start), _whole(place.stop), _whole(place.step))
    return int(place) if isinstance(place, float) and place.is_integer() else place
