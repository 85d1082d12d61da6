"""Which character separates the cells of a CSV file: the one that splits its first rows most evenly."""

import contextlib
import csv
import io
from collections.abc import Sequence
from itertools import islice

DELIMITERS = ("\t", ";", "|", ",")  # in the order in which they rarely occur within a text
_SAMPLE_ROWS = 60


def detect_delimiter(sample: str, *, is_whole: bool) -> str:
    """Detect the delimiter from the beginning of the text; a comma if there is only one column."""
    scores = {delimiter: _rate_delimiter(sample, delimiter, is_whole=is_whole) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: scores[delimiter])  # the first one of equals
    if scores[best][0] > 0:
        return best
    # One column: a delimiter that is not in the text, so that "Doe, Anna" stays one cell.
    return next((delimiter for delimiter in (",", ";", "\t", "|") if delimiter not in sample), ",")


def _rate_delimiter(sample: str, delimiter: str, *, is_whole: bool) -> tuple[float, float, int]:
    """Rate a delimiter: the share of rows as wide as the first, what is not followed by a space, the columns."""
    rows = _parse_sample(sample, delimiter, is_whole=is_whole)
    if not rows or len(rows[0]) < 2:  # noqa: PLR2004 - one column is no choice
        return (0.0, 0.0, 0)
    width = len(rows[0])
    even = sum(1.0 if len(row) == width else 0.5 if len(row) < width else 0.0 for row in rows[1:])
    spaced = sample.count(delimiter + " ") / max(sample.count(delimiter), 1)  # as commas are within a text
    return (round((1 + even) / len(rows), 1), round(1 - spaced, 2), width)


def _parse_sample(sample: str, delimiter: str, *, is_whole: bool) -> Sequence[list[str]]:
    """Parse the first rows, without blank ones, and without one that the end of the sample may have cut."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows.extend(islice((row for row in reader if any(row)), _SAMPLE_ROWS + 1))
    return rows if is_whole and len(rows) <= _SAMPLE_ROWS else rows[:-1] or rows
