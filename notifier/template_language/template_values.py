"""How a template uses a caller's values: how they are written, which methods they have, how strangers' text is cleaned.

Values are written in the words of JSON, never in those of Python. Text stays as it is. Null is nothing, a list is its
items with commas, an object is its names and values. A method is found only where it is called, so that a caller's
value may have any name.
"""

import math
import re
import unicodedata
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from decimal import Decimal
from string import Formatter
from typing import Any, Final, NamedTuple

from jinja2 import Environment
from jinja2.environment import TemplateModule
from jinja2.runtime import LoopContext, Undefined
from jinja2.sandbox import SandboxedEscapeFormatter, SandboxedFormatter
from markupsafe import Markup

from notifier.mail.limits import within_limit

_MIN_PLAIN, _MAX_PLAIN = 1e-15, 1e24
"""A number between these is written with all its digits; others have an exponent."""
_RAW_KINDS: Final[dict[type, str]] = {
    bool: "true or false",
    type(None): "nothing (null)",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}
_LIST_TYPES: Final = (list, tuple, range, Iterator, KeysView, ValuesView, ItemsView)


class RawValue(NamedTuple):
    """A place where a template shows a value that is neither text nor a number."""

    file: str
    line: int
    expression: str  # in the braces, if it is a simple name; else empty
    kind: str  # "a list"


class NotShowableError(Exception):
    """A template shows something that is not a value, such as a macro."""

    name = ""  # the expression, if it is known

    def __init__(self, message: str, advice: str) -> None:
        self.message, self.advice = message, advice
        super().__init__(f"{message} {advice}")


def get_raw_kind(value: Any) -> str:
    """The kind of value, if it is neither text nor a number; else an empty text."""
    return _RAW_KINDS.get(type(value), "")


def format_value(value: Any) -> str:
    """The value as text of a mail; escaped text stays marked as such. Raises `NotShowableError`."""
    if isinstance(value, str):
        return value
    if isinstance(value, TemplateModule):  # an imported file is shown as its output
        return value.__html__()
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, (int, Undefined)):
        return str(value)  # raises for what is undefined
    return _format_number(value) if isinstance(value, float) else _format_many(value)


def _format_many(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{format_value(name)}: {format_value(inner)}" for name, inner in value.items())
    if isinstance(value, _LIST_TYPES) and not isinstance(value, LoopContext):
        return ", ".join(map(format_value, value))
    raise _build_not_showable_error(value)


def _format_number(value: float) -> str:
    """A number without an exponent, rounded to 15 digits, so that 0.1 + 0.2 is 0.3."""
    if not math.isfinite(value):
        raise NotShowableError("this number is too large to be written.", "Let the caller send the result.")
    if value and not _MIN_PLAIN <= abs(value) < _MAX_PLAIN:
        return repr(value)
    return format(Decimal(format(value, ".15g")), "f").removeprefix("-" if value == 0 else "")


def _build_not_showable_error(value: Any) -> NotShowableError:
    if isinstance(value, LoopContext):
        return NotShowableError("“loop” cannot be shown.", "Show one of its values, such as loop.index.")
    return NotShowableError(
        "this is a macro, a block or a function, and no value.",
        'Write brackets behind its name, as in {{ ui.button("Open", url) }}, or the name of a value.',
    )


_TEXT_METHODS: Final = frozenset(
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
    str: _TEXT_METHODS,
    Markup: _TEXT_METHODS,
    float: frozenset({"is_integer"}),
}
"""The allowed methods of each type; the others change the caller's values, or return what no mail shows."""
MISUSE_ERRORS: Final = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, AssertionError)
"""The errors of Python for unsuitable arguments."""
_INDEXED_TYPES: Final = (dict, list, str, tuple, range)


class MisusedError(Exception):
    """A filter, test or function got unsuitable arguments; the words are for the people who edit templates."""

    def __init__(self, name: str, message: str, advice: str) -> None:
        self.name, self.message, self.advice = name, message, advice
        super().__init__(f"{message} {advice}")


class _ValueFormatter(Formatter):
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
    method = _bind_format(environment, value, name) if name.startswith("format") else getattr(value, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            result = method(*args, **kwargs)
        except MISUSE_ERRORS as error:
            message = f"“{name}()” cannot work with what stands in its brackets."
            raise MisusedError(name, message, _get_advice(name)) from error
        if isinstance(result, str):
            return within_limit(result)
        return list(result) if type(result).__name__ in ("dict_items", "dict_keys", "dict_values") else result

    return call


def _bind_format(environment: Environment, text: str, name: str) -> Callable[..., Any]:
    """The method `format` or `format_map`; both write values as mails do."""
    is_markup = isinstance(text, Markup)
    formatter = _MarkupFormatter(environment, escape=Markup.escape) if is_markup else _TextFormatter(environment)

    def write(*args: Any, **kwargs: Any) -> str:
        result = formatter.vformat(text, args, kwargs)
        return Markup(result) if is_markup else result  # noqa: S704 - what was put in is escaped

    return write if name == "format" else lambda values: write(**values)


def _get_advice(name: str) -> str:
    if name.startswith("format"):
        return "Put the pieces behind each other, or use “money”, “number” or “date”."
    return "Check how many values stand there, and whether each is text, a number or a list, as it should be."


def get_item(value: Any, place: Any) -> tuple[Any] | None:
    """The value under a key, index or slice, in a tuple; None if there is none."""
    if not isinstance(value, _INDEXED_TYPES):
        return None
    try:
        return (value[place],)
    except (TypeError, ValueError, LookupError):
        pass
    try:
        return (value[_make_whole(place)],)
    except (TypeError, ValueError, LookupError):
        return None


def _make_whole(place: Any) -> Any:
    """The index or slice with whole numbers instead of fractions from a division, as in `items[: n / 2]`."""
    if isinstance(place, slice):
        return slice(_make_whole(place.start), _make_whole(place.stop), _make_whole(place.step))
    return int(place) if isinstance(place, float) and place.is_integer() else place


_HTML_TAG = re.compile(r"<[/!?a-zA-Z][^<>]*>")
_ALLOWED_INVISIBLE: Final = "\n\t\u200c\u200d"
"""Line breaks, and the two joiners that Persian, Hindi and many emoji need."""
_ANGLE_LOOKALIKE: Final = "\u2039"  # looks like “<”
_COLON = re.compile(r"(?<=[\w+.-]):(?=\S)")
_AT_SIGN = re.compile(r"(?<=\S)[@\uff20\ufe6b](?=\S)")
_DOT = re.compile(r"(?<=\S)[.\u3002\uff0e\uff61](?=[\w\u200c\u200d]{2,})")
_DIGITS_FOLLOW = re.compile(r"[0-9]++(?!\.?[^\W\d])")


def clean_values(values: Mapping[str, Any], paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """The values with the texts at and below these paths cleaned; paths go through lists."""
    result = dict(values)
    for path in paths:
        if path and path[0] in result:
            result[path[0]] = _clean_at(result[path[0]], path[1:])
    return result


def _clean_at(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_clean_at(item, path) for item in value]
    if isinstance(value, dict):
        if not path:
            return {clean_text(key): _clean_at(inner, ()) for key, inner in value.items()}
        return {key: _clean_at(inner, path[1:]) if key == path[0] else inner for key, inner in value.items()}
    return clean_text(value) if isinstance(value, str) and not path else value


def clean_text(text: str) -> str:
    """The text without tags, comments, invisible characters and live links; entities stay as they are written."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(character for character in text if _is_visible(character))
    if "<" in text:
        text = _HTML_TAG.sub("", _remove_comments(text)).replace(
            "<", _ANGLE_LOOKALIKE
        )  # a remaining “<” may begin a tag
    text = _COLON.sub(_separate_colon, text)
    text = _AT_SIGN.sub(" @ ", text)
    return _DOT.sub(_separate_dot, text)


def _is_visible(character: str) -> bool:
    """Whether it is no control character and no invisible one, such as a change of direction."""
    return character in _ALLOWED_INVISIBLE or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _remove_comments(text: str) -> str:
    """Remove comments in one pass: a pattern would search the end of each of a thousand open comments."""
    pieces, at = [], 0
    while (begins := text.find("<!--", at)) >= 0 and (ends := text.find("-->", begins + 4)) >= 0:
        pieces.append(text[at:begins])
        at = ends + 3
    return "".join((*pieces, text[at:]))


def _separate_colon(match: re.Match[str]) -> str:
    """Add a blank behind a colon that may end a scheme, but not inside a time of day."""
    text, at = match.string, match.start()
    return ":" if text[at - 1].isdecimal() and text[at + 1].isdecimal() else ": "


def _separate_dot(match: re.Match[str]) -> str:
    """Add a blank behind a dot between words, but not inside a number."""
    text, at = match.string, match.start()
    return match[0] if text[at - 1].isdecimal() and _DIGITS_FOLLOW.match(text, match.end()) else f"{match[0]} "
