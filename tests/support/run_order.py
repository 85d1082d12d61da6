"""Spreads the tests that start processes among the others, so that none of them comes last.

Otherwise they would run side by side and slow each other down, and one worker would end minutes after the others.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar

SLOW = ("chaos", "acceptance")
EARLY = 0.85
"""Share of the other tests after which all slow tests have begun."""


class LocatedTest(Protocol):
    """A test."""

    path: Path


_T = TypeVar("_T", bound=LocatedTest)


def spread_slow_tests(tests: Sequence[_T], root: Path) -> list[_T]:
    """Order the tests; fast tests of a module stay together, because they may share a fixture."""
    slow = [test for test in tests if _is_slow(test, root)]
    others = [test for test in tests if not _is_slow(test, root)]
    ordered: list[_T] = []
    passed = begun = 0
    for _, module in groupby(others, key=lambda test: test.path):
        group = list(module)
        ordered += group
        passed += len(group)
        due = min(len(slow), round(len(slow) * passed / (EARLY * len(others))))
        ordered += slow[begun:due]
        begun = max(begun, due)
    return ordered + slow[begun:]


def _is_slow(test: LocatedTest, root: Path) -> bool:
    return test.path.relative_to(root).parts[0] in SLOW and test.path.name != "test_wheel.py"
