"""The filters that mail needs besides Jinja's own: dates, numbers and money in the format of the mail's locale.

They take JSON values. An error says what they got and what they expect. Babel's data of a locale is read when a
template first needs it, and cached. Nothing here depends on the host's clock, time zone or locale.
"""

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal, format_percent, list_currencies
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from notifier.strict_json import parse_number
from notifier.template_language.template_source import list_fallback_locales
from notifier.template_language.template_values import MisusedError

DATE_STYLES: Final = ("short", "medium", "long", "full")
PLURAL_CATEGORIES: Final = ("zero", "one", "two", "few", "many", "other")
_DECIMAL = re.compile(r"[+-]?\d{1,24}(?:\.\d{1,24})?")
_MAX_DIGITS = 24
"""Digits that are shown exactly; Babel rounds from 28 digits on."""
_MAX_PATTERN_LENGTH = 60
_PATTERN = re.compile(
    r"(?:y{1,4}|M{1,5}|L{1,5}|d{1,2}|E{1,6}|a|h{1,2}|H{1,2}|m{1,2}|s{1,2}|z{1,4}|v{1,4}|[\s.,:;/()-])+"
)
_MAX_FRACTION_DIGITS = 10
MAX_COLUMN_WIDTH = 200


class ValueRefusedError(Exception):
    """A filter got a value that it does not accept."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        self.name = name
        self.message = f"“{name}” cannot take {describe_value(value)}."
        self.advice = f"It wants {expected}."
        super().__init__(f"{self.message} {self.advice}")


def describe_value(value: object) -> str:
    """The kind of the value; never the value itself, which belongs to the caller."""
    if isinstance(value, str):
        return "this text" if value.strip() else "an empty text"
    if isinstance(value, tuple):
        return "what stands in its brackets"
    kinds: dict[type, str] = {bool: "true or false", int: "this number", float: "this number", list: "a list"}
    return kinds.get(type(value), "an object" if isinstance(value, dict) else "nothing (null)")


@pass_context
def show_date(context: Context, value: Any, style: Any = "medium", zone: Any = None) -> str:
    """The filter `date`: the day of an ISO date or date-time, perhaps in a time zone: `{{ day | date("long") }}`."""
    return format_date(parse_date(value, style, zone), style, locale=get_locale(context))


def parse_date(value: Any, style: Any = "medium", zone: Any = None) -> date:
    """The day that the filter `date` shows. Raises `ValueRefusedError`."""
    moment = _parse_moment("date", value, zone)
    _check_style("date", style)
    return moment


@pass_context
def show_time(context: Context, value: Any, style: Any = "short", zone: Any = None) -> str:
    """The filter `time`: the time of day of an ISO time or date-time: `{{ start | time(zone="Europe/Paris") }}`."""
    moment = parse_time(value, style, zone)
    return format_time(moment, style, tzinfo=moment.tzinfo, locale=get_locale(context))


def parse_time(value: Any, style: Any = "short", zone: Any = None) -> time | datetime:
    """The time of day that the filter `time` shows. Raises `ValueRefusedError`."""
    is_clock = isinstance(value, str) and len(value) < len("2026-01-01")
    moment = _parse_clock(value) if is_clock else _parse_moment("time", value, zone)
    if not isinstance(moment, (time, datetime)):
        raise ValueRefusedError("time", value, 'a time, such as "14:30" or "2026-03-09T14:30:00Z"')
    _require_zone("time", moment, _check_style("time", style))
    return moment


@pass_context
def show_datetime(context: Context, value: Any, style: Any = "medium", zone: Any = None) -> str:
    """The filter `datetime`: an ISO date-time, perhaps in a zone: `{{ start | datetime("short", "Europe/Paris") }}`."""
    moment = parse_datetime(value, style, zone)
    return format_datetime(moment, style, tzinfo=moment.tzinfo, locale=get_locale(context))


def parse_datetime(value: Any, style: Any = "medium", zone: Any = None) -> datetime:
    """The date-time that the filter `datetime` shows. Raises `ValueRefusedError`."""
    moment = _parse_moment("datetime", value, zone)
    if not isinstance(moment, datetime):
        raise ValueRefusedError("datetime", value, 'a date with a time, such as "2026-03-09T14:30:00Z"')
    _require_zone("datetime", moment, _check_style("datetime", style))
    return moment


@pass_context
def show_money(context: Context, value: Any, currency: Any) -> str:
    """The filter `money`: an amount rounded half to even to the currency's digits: `{{ total | money("EUR") }}`."""
    return format_currency(parse_money(value, currency), currency, locale=get_locale(context))


def parse_money(value: Any, currency: Any = "EUR") -> Decimal:
    """The amount that the filter `money` shows. Raises `ValueRefusedError`."""
    if not isinstance(currency, str) or currency not in _list_currencies():
        raise ValueRefusedError("money", currency, 'a currency by its three letters, such as money("EUR")')
    return parse_decimal("money", value)


@pass_context
def show_number(context: Context, value: Any, digits: Any = None) -> str:
    """A number with so many digits behind the point, or as many as it has: `{{ weight | number(1) }}`."""
    locale, amount = get_locale(context), parse_decimal("number", value)
    if digits is None:
        return format_decimal(amount, locale=locale, decimal_quantization=False)
    pattern = locale.decimal_formats[None].pattern.replace(".###", _build_fraction_pattern("number", digits))
    return format_decimal(amount, format=pattern, locale=locale)


@pass_context
def show_percent(context: Context, value: Any, digits: Any = 0) -> str:
    """The filter `percent`: a share of one, so that `{{ 0.25 | percent }}` is 25 %."""
    locale, amount = get_locale(context), parse_decimal("percent", value)
    pattern = locale.percent_formats[None].pattern.replace("##0", f"##0{_build_fraction_pattern('percent', digits)}", 1)
    return format_percent(amount, format=pattern, locale=locale)


@pass_context
def choose_plural(context: Context, value: Any, *texts: Any, **forms: Any) -> str:
    """The filter `plural`: the text for that number, with `few=` and others where the language has them.

    The categories are those of CLDR; a language that lacks one never asks for it. `{n}` becomes the number.
    """
    amount, locale = parse_decimal("plural", value), get_locale(context)
    texts_by_category = dict(zip(("one", "other"), texts, strict=False)) | forms
    if len(texts) > 2 or "other" not in texts_by_category or not texts_by_category.keys() <= set(PLURAL_CATEGORIES):  # noqa: PLR2004 - one and other
        raise ValueRefusedError("plural", texts, 'two texts, such as plural("one item", "{n} items")')
    if not all(isinstance(text, str) for text in texts_by_category.values()):
        raise ValueRefusedError("plural", (), "texts")
    text = texts_by_category.get(locale.plural_form(amount), texts_by_category["other"])
    number = format_decimal(amount, locale=locale, decimal_quantization=False)
    return str(text).replace("{n}", number)


@pass_context
def break_lines(context: Context, value: Any) -> str:
    """The filter `nl2br`: line breaks become `<br>` in HTML; in a text part the text stays as it is."""
    if not context.eval_ctx.autoescape:
        return str(value)
    return Markup("<br>\n").join(escape(line) for line in value.splitlines())


@pass_context
def replace_text(context: Context, value: Any, old: Any, new: Any, count: Any = -1) -> str:  # noqa: ARG001 - Jinja's own
    """The filter `replace` for text; markup is refused, because a replacement could turn `&lt;` into `<`."""
    for text in (value, old, new):
        if isinstance(text, Markup):
            raise ValueRefusedError("replace", None, "text, not what a macro or a {% set %} block has written")
    if not isinstance(old, str) or not isinstance(new, str) or not isinstance(count, int):
        raise ValueRefusedError("replace", (), 'two texts, such as replace("a", "b")')
    return str(value).replace(old, new, count)


def get_locale(context: Context) -> Locale:
    """The locale of the mail. It is read from the environment, because macros have no variables."""
    return _load_locale(getattr(context.environment, "locale", "en"))


@lru_cache(maxsize=64)
def _load_locale(tag: str) -> Locale:
    for candidate in list_fallback_locales(tag):
        try:
            return Locale.parse(candidate, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale("en")


@lru_cache(maxsize=1)
def _list_currencies() -> frozenset[str]:
    return frozenset(list_currencies())


def parse_decimal(name: str, value: Any) -> Decimal:
    """The number as it was written: a JSON fraction counts by its shortest decimal form. Raises `ValueRefusedError`."""
    expected = 'a number, or one in a text, such as "12.50"'
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value.strip()) or not value.isascii():
            raise ValueRefusedError(name, value, expected)
        return Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueRefusedError(name, value, expected)
    amount = Decimal(repr(parse_number(repr(value)) if isinstance(value, float) else value))
    if amount and not -_MAX_DIGITS <= amount.adjusted() < _MAX_DIGITS:
        raise ValueRefusedError(name, value, f"a number of at most {_MAX_DIGITS} digits")
    return amount


def _build_fraction_pattern(name: str, digits: Any) -> str:
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= _MAX_FRACTION_DIGITS:
        raise ValueRefusedError(name, digits, f"0 to {_MAX_FRACTION_DIGITS} digits behind the point")
    return "." + "0" * digits if digits else ""


def _parse_moment(name: str, value: Any, zone: Any) -> date:
    """The date or date-time of an ISO text (RFC 3339), converted to a time zone if there is one."""
    expected = 'a date such as "2026-03-09", or "2026-03-09T14:30:00Z"'
    if not isinstance(value, str):
        raise ValueRefusedError(name, value, expected)
    try:
        moment = date.fromisoformat(value) if len(value) <= len("2026-03-09") else datetime.fromisoformat(value)
        if zone is not None and isinstance(moment, datetime):
            if moment.tzinfo is None:
                raise ValueRefusedError(name, value, "an offset behind the time, such as Z, to show it in a time zone")
            moment = moment.astimezone(_get_zone(name, zone))
    except (ValueError, OverflowError) as error:
        raise ValueRefusedError(name, value, expected) from error
    return moment


def _parse_clock(value: str) -> time:
    try:
        return time.fromisoformat(value)
    except ValueError as error:
        raise ValueRefusedError("time", value, 'a time, such as "14:30" or "2026-03-09T14:30:00Z"') from error


def _require_zone(name: str, moment: date | time, style: str) -> None:
    """Refuse the styles `long` and `full` for a time without an offset: they show a time zone."""
    if style in ("long", "full") and getattr(moment, "tzinfo", None) is None:
        raise ValueRefusedError(name, "a time", f"an offset behind the time, such as Z, for the style “{style}”")


@lru_cache(maxsize=64)
def _load_zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # unknown, or a path: zoneinfo refuses to leave its folder
        return None


def _get_zone(name: str, zone: Any) -> ZoneInfo:
    zone_info = _load_zone(zone) if isinstance(zone, str) else None
    if zone_info is None:
        raise ValueRefusedError(name, zone, 'a time zone by its name, such as zone="Europe/Paris"')
    return zone_info


def _check_style(name: str, style: Any) -> str:
    """A width, or a pattern of CLDR letters (UTS 35), such as "d MMMM"."""
    if isinstance(style, str) and (style in DATE_STYLES or _is_pattern(style)):
        return style
    raise ValueRefusedError(name, style, f"one of {', '.join(DATE_STYLES)}, or a pattern such as “d MMMM y”")


def _is_pattern(style: str) -> bool:
    """Whether it is a pattern of CLDR letters; words must be quoted, so that a misspelt `long` is refused."""
    return len(style) <= _MAX_PATTERN_LENGTH and bool(_PATTERN.fullmatch(re.sub(r"'[^']*'", "", style)))


def align_left(value: Any, width: int) -> str:
    """The filter `left`: pad the text with blanks on its right to `width` characters; longer text is not cut."""
    return str(value).ljust(_check_width("left", width))


def align_right(value: Any, width: int) -> str:
    """The filter `right`: pad the text with blanks on its left to `width` characters; longer text is not cut."""
    return str(value).rjust(_check_width("right", width))


def _check_width(name: str, width: Any) -> int:
    if not isinstance(width, int) or not 0 <= width <= MAX_COLUMN_WIDTH:
        message = f"a column is 0 to {MAX_COLUMN_WIDTH} characters wide."
        raise MisusedError(name, message, f"Write, for example: {name}(20).")
    return width


MAIL_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "date": show_date,
    "datetime": show_datetime,
    "left": align_left,
    "money": show_money,
    "nl2br": break_lines,
    "number": show_number,
    "percent": show_percent,
    "plural": choose_plural,
    "replace": replace_text,
    "right": align_right,
    "time": show_time,
}
