"""Cells as text: as a person sees them in a workbook, and so that no spreadsheet program runs them as formulas."""

from datetime import date, datetime, time, timedelta

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MAX_EXACT_FLOAT = 2.0**53
CellValue = int | float | str | bool | time | date | datetime | timedelta


def write_cell_text(value: CellValue) -> str:
    """Write the value of a cell: numbers without ".0", dates and times by ISO 8601, "true" and "false"."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _write_number(value)
    if isinstance(value, datetime):
        moment = _round_to_second(value)
        return moment.date().isoformat() if moment.time() == time() else moment.isoformat()
    if isinstance(value, time):
        rounded = _round_to_second(datetime.combine(date(2000, 1, 1), value))
        return rounded.time().isoformat()
    if isinstance(value, timedelta):
        return _write_duration(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def escape_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet program would run as a formula (OWASP, CSV injection)."""
    return "'" + text if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def _write_number(value: float) -> str:
    if value.is_integer() and abs(value) < _MAX_EXACT_FLOAT:
        return str(int(value))
    text = format(value, ".15g")  # the digits that Excel keeps: 0.30000000000000004 is 0.3
    return text if "e" not in text else repr(value)


def _round_to_second(moment: datetime) -> datetime:
    return (moment + timedelta(microseconds=500_000)).replace(microsecond=0)


def _write_duration(value: timedelta) -> str:
    seconds = round(value.total_seconds())
    minutes, second = divmod(abs(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{'-' if seconds < 0 else ''}{hours:02}:{minute:02}:{second:02}"
