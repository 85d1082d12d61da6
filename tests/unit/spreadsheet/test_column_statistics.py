"""Statistics of columns: the same in one go, in steps with JSON between, and merged; memory is bounded."""

import random
from collections.abc import Sequence

import msgspec
import pytest

from notifier.spreadsheet.column_statistics import (
    MAX_DISTINCT,
    MAX_SAMPLE_CHARACTERS,
    MAX_SHEET_DISTINCT,
    ColumnSummary,
    SheetStatistics,
    start_statistics,
)


def _summarize(cells: Sequence[str]) -> ColumnSummary:
    statistics = start_statistics(1)
    for cell in cells:
        statistics.add_row([cell])
    return statistics.summarize()[0]


def test_texts() -> None:
    """Filled, different, shortest, longest, least and greatest of texts."""
    assert _summarize(["pear", "", "fig", "banana", "fig"]) == ColumnSummary(
        filled=4, distinct=3, has_more_distinct=False, shortest="fig", longest="banana", least="banana", greatest="pear"
    )


def test_an_empty_column() -> None:
    """Nothing is told of a column without text."""
    assert _summarize(["", ""]) == ColumnSummary(
        filled=0, distinct=0, has_more_distinct=False, shortest=None, longest=None, least=None, greatest=None
    )


@pytest.mark.parametrize(
    ("cells", "least", "greatest"),
    [
        (["10", "9", "-2", "100"], "-2", "100"),
        (["10,5", "9,75"], "9,75", "10,5"),
        (["1.5", "+1.25"], "+1.25", "1.5"),
        (["10", "9", "n/a"], "10", "n/a"),
        (["n/a", "10", "9"], "10", "n/a"),
        (["2026-02-01", "2025-12-31"], "2025-12-31", "2026-02-01"),
    ],
)
def test_numbers_are_compared_as_numbers(cells: list[str], least: str, greatest: str) -> None:
    """The order is that of numbers if all cells are numbers, else that of letters."""
    summary = _summarize(cells)
    assert (summary.least, summary.greatest) == (least, greatest)


def test_long_texts_are_cut() -> None:
    """A long text is known by its length and kept by its beginning."""
    summary = _summarize(["y" * 5000, "x" * 6000, "z" * 300])
    assert summary.longest == "x" * MAX_SAMPLE_CHARACTERS
    assert summary.shortest == "z" * MAX_SAMPLE_CHARACTERS


def test_many_different_values() -> None:
    """They are counted exactly up to the limit, then "more than"; the state stays small."""
    statistics = start_statistics(1)
    for number in range(MAX_DISTINCT):
        statistics.add_row([str(number)])
    assert (statistics.summarize()[0].distinct, statistics.summarize()[0].has_more_distinct) == (MAX_DISTINCT, False)
    assert len(msgspec.json.encode(statistics)) < 120_000
    statistics.add_row(["one more"])
    assert (statistics.summarize()[0].distinct, statistics.summarize()[0].has_more_distinct) == (MAX_DISTINCT, True)
    assert len(msgspec.json.encode(statistics)) < 1000


def test_many_columns_share_the_limit() -> None:
    """The columns of a wide sheet count fewer values each, so that the state of the sheet is bounded."""
    statistics = start_statistics(200)
    for number in range(400):
        statistics.add_row([str(number)] * 200)
    summary = statistics.summarize()[199]
    assert (summary.distinct, summary.has_more_distinct) == (MAX_SHEET_DISTINCT // 200, True)


@pytest.mark.parametrize("seed", range(5))
def test_steps_and_merging_change_nothing(seed: int) -> None:
    """In one go, in steps with JSON between them, and merged from parts in any order: the same summary."""
    source = random.Random(seed)
    words = ["", "1", "22", "-3,5", "Anna", "Ödön", "x" * 300, "0049"]
    rows = [[source.choice(words), str(source.randrange(50)), source.choice(words[:4])] for _ in range(500)]
    whole = start_statistics(3)
    for row in rows:
        whole.add_row(row)
    stepped = start_statistics(3)
    parts = []
    for start in range(0, 500, 70):
        stepped = msgspec.json.decode(msgspec.json.encode(stepped), type=SheetStatistics)
        parts.append(start_statistics(3))
        for row in rows[start : start + 70]:
            stepped.add_row(row)
            parts[-1].add_row(row)
    merged = start_statistics(3)
    for part in parts:
        merged.merge(part)
    assert whole.summarize() == stepped.summarize() == merged.summarize()


def test_merging_what_has_too_many() -> None:
    """Too many in one part are too many in the whole, and counts add up."""
    full, other = start_statistics(1), start_statistics(1)
    for number in range(MAX_DISTINCT + 1):
        full.add_row([str(number)])
    other.add_row(["x"])
    other.merge(full)
    assert (other.summarize()[0].filled, other.summarize()[0].has_more_distinct) == (MAX_DISTINCT + 2, True)
    assert other.summarize()[0].distinct == MAX_DISTINCT
