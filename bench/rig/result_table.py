"""Figures and their format: medians with their range, and ratios, which also hold on other machines."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Figure:
    """One line of a table."""

    name: str
    value: str
    is_headline: bool = False  # repeated at the end of the whole run


@dataclass(frozen=True, kw_only=True)
class Table:
    """The results of one measurement."""

    title: str
    figures: list[Figure]
    results: Mapping[str, float] = field(default_factory=dict)  # for `--json`: names and plain numbers

    def __str__(self) -> str:
        width = max(len(figure.name) for figure in self.figures)
        lines = [f"{figure.name.ljust(width)}  {figure.value}" for figure in self.figures]
        return "\n".join((self.title, "-" * len(self.title), *lines, ""))

    def headlines(self) -> list[Figure]:
        """List the figures that are repeated at the end, each with the name of its table."""
        place = self.title.partition(":")[0]
        return [
            replace(figure, name=f"{place}: {figure.name.strip()}") for figure in self.figures if figure.is_headline
        ]


def compute_percentile(values: Sequence[float], q: float) -> float:
    """Return the nearest-rank percentile, which is always a measured value."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * q / 100) - 1)]


def format_median(values: Sequence[float], style: str) -> str:
    """Format the median, and in brackets the range if there are several values."""
    median = style.format(statistics.median(values))
    if len(values) == 1:
        return median
    return f"{median} [{style.format(min(values))} … {style.format(max(values))}]"


def format_best_and_median(values: Sequence[float], style: str) -> str:
    """Format the largest value, the median, and in brackets the range."""
    return f"best {style.format(max(values))}, median {format_median(values, style)}"
