"""Cells as text: as a person sees them in a workbook, and so that no spreadsheet program runs them as formulas."""

from datetime import date, datetime, time, timedelta

_FORMULA_STARTS = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # the last four in full width
_MAX_EXACT_FLOAT = 2.0**53
_ANY_DAY = date(2000, 1, 1)
CellValue = int | float | str | bool | time | date | datetime | timedelta


def write_cell_text(value: CellValue) -> str:
    """Write the value of a cell: numbers without ".0", dates and times by ISO 8601, "true" and "false"."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float):
        text = _write_number(value)
    elif isinstance(value, datetime):
        moment = _round_to_second(value)
        text = moment.date().isoformat() if moment.time() == time() else moment.isoformat()
    elif isinstance(value, time):
        text = _round_to_second(datetime.combine(_ANY_DAY, value)).time().isoformat()
    elif isinstance(value, timedelta):
        text = _write_duration(value)
    else:
        text = value.isoformat() if isinstance(value, date) else str(value)
    return text


def escape_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet program would run as a formula (OWASP, CSV injection)."""
    return "'" + text if text.lstrip(" ").startswith(_FORMULA_STARTS) else text


def unescape_formula(text: str) -> str:
    """Take away the apostrophe that `escape_formula` put before a text; other texts stay."""
    return text[1:] if text.startswith("'") and text[1:].lstrip(" ").startswith(_FORMULA_STARTS) else text


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
