"""Values of cells as text, and texts that no spreadsheet program takes for formulas."""

from datetime import date, datetime, time, timedelta

import pytest

from notifier.spreadsheet.cell_text import CellValue, escape_formula, unescape_formula, write_cell_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is ", "as it is "),
        (3, "3"),
        (3.0, "3"),
        (-0.0, "0"),
        (0.1 + 0.2, "0.3"),
        (1234567.891, "1234567.891"),
        (4915112345678.0, "4915112345678"),
        (123456789012345680.0, "1.2345678901234568e+17"),
        (1e300, "1e+300"),
        (1.5e-9, "1.5e-09"),
        (*[True], "true"),
        (*[False], "false"),
        (date(2026, 2, 28), "2026-02-28"),
        (datetime(2026, 2, 28), "2026-02-28"),  # noqa: DTZ001 - a workbook knows no zones
        (datetime(2026, 2, 28, 23, 59, 59, 600_000), "2026-03-01"),  # noqa: DTZ001
        (datetime(2026, 2, 28, 9, 5), "2026-02-28T09:05:00"),  # noqa: DTZ001
        (time(9, 5), "09:05:00"),
        (timedelta(hours=30, minutes=15), "30:15:00"),
        (timedelta(hours=-1, minutes=-30), "-01:30:00"),
    ],
)
def test_values_are_written_as_people_see_them(value: CellValue, text: str) -> None:
    """Numbers lose what binary fractions add, days and moments follow ISO 8601."""
    assert write_cell_text(value) == text


@pytest.mark.parametrize("text", ["=1+1", "+49 30 1", "-5", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1+1", "\n=1"])
def test_formulas_are_escaped(text: str) -> None:
    """An apostrophe makes it text, and is taken away when the text comes back."""
    assert escape_formula(text) == "'" + text
    assert unescape_formula("'" + text) == text


@pytest.mark.parametrize("text", ["", "a=b", "Anna", "1-2", "'=1", "a@example.com"])
def test_other_texts_stay(text: str) -> None:
    """What is no formula is not changed."""
    assert escape_formula(text) == text
    assert unescape_formula(text) == text or text.startswith("'=")
