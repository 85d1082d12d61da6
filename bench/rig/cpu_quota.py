"""Limits a process tree to a part of a core, by the `cpu` controller of cgroups v1, where we may create a group."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.rig import process_tree

PERIOD_MICROSECONDS = 20_000
_CONTROLLER = Path("/sys/fs/cgroup/cpu")


@contextmanager
def limit_cores(root: int, cores: float) -> Iterator[bool]:
    """Limit the process, its children and those that it will have, until the block ends. Yields False if it cannot."""
    group = _CONTROLLER / f"notifier-bench-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield False
        return
    try:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
        (group / "cpu.cfs_quota_us").write_text(str(int(cores * PERIOD_MICROSECONDS)))
        _move(process_tree.list_members(root), group)
        yield True
    finally:
        _move((int(pid) for pid in (group / "cgroup.procs").read_text().split()), _CONTROLLER)
        group.rmdir()


def _move(pids: Iterator[int], group: Path) -> None:
    for pid in pids:
        with suppress(OSError):  # it has ended meanwhile
            (group / "cgroup.procs").write_text(str(pid))
