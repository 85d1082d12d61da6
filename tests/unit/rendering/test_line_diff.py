"""Text diffs as by `difflib`, within one budget for a whole answer."""

from difflib import unified_diff

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from notifier.rendering.line_diff import MAX_DIFF_BYTES, MAX_DIFF_STEPS, TRUNCATION_NOTE, DiffBudget
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating import source_diff

lines = st.lists(st.sampled_from(["a", "b", "c", "", "d "]), max_size=25)


def applied(old: list[str], diff: list[str]) -> list[str]:
    """Apply the diff to the old text."""
    new, at = [], 0
    for line in diff[2:]:
        if line.startswith("@@"):
            begin, _, length = line.split()[1][1:].partition(",")
            start = int(begin) - (length != "0")
            new += old[at:start]
            at = start
        elif line.startswith("+"):
            new.append(line[1:])
        else:
            assert old[at] == line[1:]
            at += 1
            new += [line[1:]] * line.startswith(" ")
    return new + old[at:]


@given(old=lines, new=lines, context=st.integers(0, 3), steps=st.sampled_from([0, 30, MAX_DIFF_STEPS]))
def test_a_diff_makes_one_text_of_the_other(old: list[str], new: list[str], context: int, steps: int) -> None:
    """The diff turns one text into the other, with any budget; equal texts have none."""
    diff = DiffBudget(steps=steps).unified(old, new, ("x", "y"), context)
    assert applied(old, diff) == new
    assert bool(diff) == (old != new)
    come, gone = DiffBudget(steps=steps).count(old, new)
    assert len(new) - len(old) == come - gone


def test_usual_changes_are_told_as_the_library_tells_them() -> None:
    """Ordinary changes have the same hunks as difflib's."""
    old = [str(number) for number in range(200)]
    new = [*old[:20], "x", *old[21:90], *old[93:150], "y", "z", *old[150:], "end"]
    assert DiffBudget().unified(old, new, ("x", "y")) == [*unified_diff(old, new, "x", "y", lineterm="")]
    assert DiffBudget().count(old, new) == (4, 4)


def source(text: str) -> TemplateSource:
    """Build a template with very many equal lines in very many files."""
    files = {f"part{number}.html": text for number in range(99)}
    return TemplateSource(files=files, sample={}, settings=TemplateSettings(name="A"))


def test_one_budget_suffices_for_all_files() -> None:
    """The worst case in a hundred files has a small answer, which says that something is left out."""
    diff = source_diff.compare_sources(source("a\n" * 199), source("x\n" + "a\nb\n" * 99 + "y"))
    assert len(diff) == 99
    assert len(msgspec.json.encode([line.diff for line in diff])) < 64 * 1024
    assert diff[0].diff.startswith("--- part0.html\n")
    assert diff[-1].diff == TRUNCATION_NOTE + "\n"


def test_what_is_compared_is_counted() -> None:
    """All files share one budget of steps; once it is spent, a difference is one hunk."""
    budget = DiffBudget(size=None)
    for _ in range(40):
        diff = budget.unified(["a"] * 190, ["x", *["a", "b"] * 90], ("x", "y"))
    assert budget.steps < 0
    assert sum(line.startswith("@@") for line in diff) == 1
    assert MAX_DIFF_BYTES < 64 * 1024
