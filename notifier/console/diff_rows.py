"""Shows a unified diff as two columns."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DiffRow:
    """A row of two texts side by side; None: the text has no line there."""

    before: str | None
    after: str | None
    changed: bool = False
    is_gap: bool = False  # lines are left out here


def build_diff_rows(diff: str) -> list[DiffRow]:
    """Build the rows of a unified diff: what was removed stands beside what was added in its place."""
    rows: list[DiffRow] = []
    removed: list[str] = []
    added: list[str] = []

    def flush() -> None:
        for number in range(max(len(removed), len(added))):
            before = removed[number] if number < len(removed) else None
            after = added[number] if number < len(added) else None
            rows.append(DiffRow(before=before, after=after, changed=True))
        removed.clear()
        added.clear()

    for line in diff.splitlines():
        if line.startswith(("--- ", "+++ ")) and not rows and not removed and not added:
            continue
        if line.startswith("@@"):
            flush()
            if rows:
                rows.append(DiffRow(before=None, after=None, is_gap=True))
        elif line.startswith("-"):
            removed.append(line[1:])
        elif line.startswith("+"):
            added.append(line[1:])
        else:
            flush()
            text = line.removeprefix(" ")
            rows.append(DiffRow(before=text, after=text))
    flush()
    return rows
