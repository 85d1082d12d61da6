"""Line diffs of texts, with a bounded cost for any texts."""

from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher
from typing import Literal

import msgspec

MAX_DIFF_STEPS = 1_000_000
"""Comparisons of equal lines for all diffs of one answer: some tenths of a second."""
MAX_DIFF_BYTES = 48 * 1024
"""Bytes of all diffs of one answer, as JSON."""
TRUNCATION_NOTE = f"\\ The rest is not shown: the differences of one answer have at most {MAX_DIFF_BYTES // 1024} KiB."

_Tag = Literal["replace", "delete", "insert", "equal"]
_Opcodes = list[tuple[_Tag, int, int, int, int]]


class _BudgetSpentError(Exception):
    """There are too many equal lines to match them."""


class DiffBudget:
    """The shared budget of all diffs of one answer; when it is used up, diffs get coarser and are then cut."""

    def __init__(self, *, steps: int = MAX_DIFF_STEPS, size: int | None = MAX_DIFF_BYTES) -> None:
        self.steps = steps  # remaining
        self._size = size  # remaining bytes; None: no limit

    def unified(self, old: Sequence[str], new: Sequence[str], names: tuple[str, str], context: int = 3) -> list[str]:
        """Return the lines of a unified diff; if it is cut, the last line says so."""
        lines: list[str] = []
        for line in _write_diff(old, new, names, self._list_opcodes(old, new), context):
            if self._size is not None:
                self._size -= len(msgspec.json.encode(line))
                if self._size < 0:
                    return [*lines, TRUNCATION_NOTE]
            lines.append(line)
        return lines

    def count(self, old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
        """Count the lines that are added and removed."""
        changes = [code for code in self._list_opcodes(old, new) if code[0] != "equal"]
        return sum(to - start for *_, start, to in changes), sum(to - start for _, start, to, _, _ in changes)

    def _list_opcodes(self, old: Sequence[str], new: Sequence[str]) -> _Opcodes:
        """Compute the opcodes; only lines between the first and the last difference are matched."""
        least = min(len(old), len(new))
        first = next((at for at in range(least) if old[at] != new[at]), least)
        last = next((at for at in range(least - first) if old[-1 - at] != new[-1 - at]), least - first)
        ends = len(old) - last, len(new) - last
        try:
            inner = _Matcher(self, old[first : ends[0]], new[first : ends[1]]).get_opcodes()
        except _BudgetSpentError:
            inner = [("replace", 0, ends[0] - first, 0, ends[1] - first)]
        moved = [(tag, a + first, b + first, c + first, d + first) for tag, a, b, c, d in inner]
        before: _Opcodes = [("equal", 0, first, 0, first)] if first else []
        after: _Opcodes = [("equal", ends[0], len(old), ends[1], len(new))] if last else []
        return [*before, *moved, *after]


class _Matcher(SequenceMatcher[str]):
    """Python's matcher with a count of its work, which is quadratic in equal lines."""

    b2j: dict[str, list[int]]  # where each line of the new text stands

    def __init__(self, budget: DiffBudget, old: Sequence[str], new: Sequence[str]) -> None:
        super().__init__(None, old, new)
        self._budget = budget
        self._old = old

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        """Python's method, if the budget allows it."""
        self._budget.steps -= sum(1 + len(self.b2j.get(line, ())) for line in self._old[alo:ahi])
        if self._budget.steps < 0:
            raise _BudgetSpentError
        return super().find_longest_match(alo, ahi, blo, bhi)


class _Grouper(SequenceMatcher[str]):
    """Python's matcher for opcodes that are known already."""

    opcodes: _Opcodes


def _write_diff(
    old: Sequence[str], new: Sequence[str], names: tuple[str, str], opcodes: _Opcodes, context: int
) -> Iterator[str]:
    """Write the lines as `difflib.unified_diff` does."""
    grouper = _Grouper(None, (), ())
    grouper.opcodes = opcodes
    for number, group in enumerate(grouper.get_grouped_opcodes(context)):
        if not number:
            yield f"--- {names[0]}"
            yield f"+++ {names[1]}"
        yield f"@@ -{_format_range(group[0][1], group[-1][2])} +{_format_range(group[0][3], group[-1][4])} @@"
        for tag, a, b, c, d in group:
            if tag == "equal":
                yield from (f" {line}" for line in old[a:b])
                continue
            yield from (f"-{line}" for line in old[a:b])
            yield from (f"+{line}" for line in new[c:d])


def _format_range(start: int, stop: int) -> str:
    length = stop - start
    begin = start + 1 if length else start
    return str(begin) if length == 1 else f"{begin},{length}"
