"""The descendants of a process, read from the kernel (Linux)."""

from collections import defaultdict
from pathlib import Path


def list_descendants(pid: int) -> set[int]:
    """Return the children of a process, their children, and so on."""
    children: dict[int, set[int]] = defaultdict(set)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (parent := _parent(int(folder.name))) is not None:
            children[parent].add(int(folder.name))
    pids: set[int] = set()
    fresh = children[pid]
    while fresh:
        pids |= fresh
        fresh = {child for parent in fresh for child in children[parent]} - pids
    return pids


def is_alive(pid: int) -> bool:
    """Return whether the process runs; a zombie counts as dead."""
    return _parent(pid) is not None


def _parent(pid: int) -> int | None:
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (OSError, ValueError):
        return None
    return int(parent) if state not in "ZX" else None
