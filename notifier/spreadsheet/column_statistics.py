"""Statistics of the columns of a sheet, for the person who looks for mistakes in it.

They take bounded memory, and can be written as JSON between two steps of a job.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

MAX_DISTINCT = 10_000
"""Different values of a column that are counted exactly."""
MAX_SHEET_DISTINCT = 60_000
"""Different values of all columns together, which share them: at most 700 kB of JSON."""
MAX_SAMPLE_CHARACTERS = 200
"""Characters of a value that are kept."""
_HASH_BYTES = 6  # a collision among 10,000 values: one chance in five million
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{1,9})?")


class ColumnSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One column as people see it. Texts are cut at `MAX_SAMPLE_CHARACTERS`; None if no cell is filled."""

    filled: int  # cells with text
    distinct: int  # different texts
    has_more_distinct: bool  # True: there are more than `distinct`
    shortest: str | None
    longest: str | None
    least: str | None  # as numbers if all cells are numbers, else in the order of their letters
    greatest: str | None


class ColumnStatistics(msgspec.Struct, kw_only=True):
    """What was seen of one column so far."""

    filled: int = 0
    hashes: set[str] | None = msgspec.field(default_factory=set)  # of the different texts; None: too many
    distinct: int = 0
    shortest: str | None = None
    longest: str | None = None
    shortest_length: int = 0  # characters, also of what was cut
    longest_length: int = 0
    least: str | None = None
    greatest: str | None = None
    least_number: str | None = None  # as written
    greatest_number: str | None = None
    are_numbers: bool = True  # all cells so far

    def add_cell(self, text: str, max_distinct: int) -> None:
        """Count one cell; an empty one changes nothing."""
        if not text:
            return
        self.filled += 1
        self._add_extremes(text, len(text))
        if self.hashes is not None:
            digest = blake2b(text.encode(errors="surrogatepass"), digest_size=_HASH_BYTES).digest()
            self.hashes.add(b64encode(digest).decode("ascii"))
            self._limit_distinct(max_distinct)

    def merge(self, other: "ColumnStatistics", max_distinct: int) -> None:
        """Add the statistics of other rows of the same column."""
        self.filled += other.filled
        if other.shortest is not None and other.longest is not None:
            self._add_length(other.shortest, other.shortest_length)
            self._add_length(other.longest, other.longest_length)
        for text in (other.least, other.greatest):
            if text is not None:
                self._add_order(text)
        self.are_numbers = self.are_numbers and other.are_numbers
        for text in (other.least_number, other.greatest_number):
            if text is not None:
                self._add_number(text)
        if self.hashes is None or other.hashes is None:
            self.hashes, self.distinct = None, max(self.distinct, other.distinct)
        else:
            self.hashes |= other.hashes
            self._limit_distinct(max_distinct)

    def summarize(self) -> ColumnSummary:
        """Return the statistics as people see them."""
        is_number = self.are_numbers and self.least_number is not None
        return ColumnSummary(
            filled=self.filled,
            distinct=self.distinct,
            has_more_distinct=self.hashes is None,
            shortest=self.shortest,
            longest=self.longest,
            least=self.least_number if is_number else self.least,
            greatest=self.greatest_number if is_number else self.greatest,
        )

    def _limit_distinct(self, max_distinct: int) -> None:
        if self.hashes is not None:
            self.distinct = min(len(self.hashes), max_distinct)
            if len(self.hashes) > max_distinct:
                self.hashes = None

    def _add_extremes(self, text: str, length: int) -> None:
        sample = text[:MAX_SAMPLE_CHARACTERS]
        self._add_length(sample, length)
        self._add_order(sample)
        if self.are_numbers:
            if _NUMBER.fullmatch(text):
                self._add_number(text)
            else:
                self.are_numbers = False

    def _add_length(self, text: str, length: int) -> None:
        if self.shortest is None or length < self.shortest_length:
            self.shortest, self.shortest_length = text, length
        if self.longest is None or length > self.longest_length:
            self.longest, self.longest_length = text, length

    def _add_order(self, text: str) -> None:
        if self.least is None or text < self.least:
            self.least = text
        if self.greatest is None or text > self.greatest:
            self.greatest = text

    def _add_number(self, text: str) -> None:
        if self.least_number is None or _parse_number(text) < _parse_number(self.least_number):
            self.least_number = text
        if self.greatest_number is None or _parse_number(text) > _parse_number(self.greatest_number):
            self.greatest_number = text


class SheetStatistics(msgspec.Struct, kw_only=True):
    """What was seen of all columns so far: `msgspec.json` writes and reads it."""

    columns: list[ColumnStatistics]

    def add_row(self, cells: Sequence[str]) -> None:
        """Count the cells of a row: as many as there are columns."""
        limit = self._get_max_distinct()
        for column, cell in zip(self.columns, cells, strict=True):
            column.add_cell(cell, limit)

    def merge(self, other: "SheetStatistics") -> None:
        """Add the statistics of other rows of the same sheet."""
        limit = self._get_max_distinct()
        for column, more in zip(self.columns, other.columns, strict=True):
            column.merge(more, limit)

    def summarize(self) -> list[ColumnSummary]:
        """Return the statistics of each column as people see them."""
        return [column.summarize() for column in self.columns]

    def _get_max_distinct(self) -> int:
        return min(MAX_DISTINCT, MAX_SHEET_DISTINCT // max(len(self.columns), 1))


def start_statistics(column_count: int) -> SheetStatistics:
    """Start the statistics of a sheet with so many columns."""
    return SheetStatistics(columns=[ColumnStatistics() for _ in range(column_count)])


def _parse_number(text: str) -> float:
    """Read a number as it is written in most of Europe or in English; a group of thousands reads as decimals."""
    return float(text.replace(",", "."))
