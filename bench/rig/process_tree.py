"""CPU time and memory of processes with their children, from /proc. Without /proc all values are NaN or empty."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

INTERVAL = 0.2
_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


def list_members(root: int) -> Iterator[int]:
    """List the process and its descendants, parents first."""
    yield root
    for child in list_children(root):
        yield from list_members(child)


def list_children(root: int) -> list[int]:
    """List the direct children of a process; none if it has ended."""
    with suppress(OSError):
        tasks = (_PROC / str(root) / "task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def read_cpu_seconds(pid: int, *, with_reaped: bool = False) -> float:
    """Return the CPU time of a process, optionally with that of its ended children; NaN if unknown."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return sum(int(number) for number in fields[11 : 15 if with_reaped else 13]) / _TICKS


def read_tree_cpu_seconds(root: int) -> dict[int, float]:
    """Return the CPU time of the process and of each of its descendants, by process id."""
    return {pid: seconds for pid in list_members(root) if (seconds := read_cpu_seconds(pid)) == seconds}


def read_machine_cpu_seconds() -> float:
    """Return the CPU time that all programs of the machine have used, and its hypervisor took; NaN if unknown."""
    try:
        fields = (_PROC / "stat").read_text().partition("\n")[0].split()[1:9]
    except OSError:
        return float("nan")
    user, nice, system, _idle, _waiting, *others = map(int, fields)
    return (user + nice + system + sum(others)) / _TICKS


def read_pss_bytes(root: int) -> int:
    """Return the memory of the whole tree; a shared page is divided among its processes."""
    return sum(_pss(pid) for pid in list_members(root))


def find_parent(pid: int) -> int:
    """Find the parent of a process. Raises `OSError` if it has ended."""
    return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])


def read_server_cpu_seconds(backend: int) -> float:
    """Return the CPU time of this backend's PostgreSQL server, including its ended processes."""
    try:
        if (_PROC / str(backend) / "comm").read_text().strip() != "postgres":
            return float("nan")  # the server is in another container or on another machine
        parent = find_parent(backend)
    except OSError:
        return float("nan")
    living = (read_cpu_seconds(pid) for pid in list(list_members(parent))[1:])
    return read_cpu_seconds(parent, with_reaped=True) + sum(seconds for seconds in living if seconds == seconds)  # noqa: PLR0124 - NaN


@dataclass
class CpuWatch:
    """CPU time of a tree, read so often that little is missed when a process ends."""

    root: int
    seconds: dict[int, float] = field(default_factory=dict)
    at_start: dict[int, float] = field(default_factory=dict)

    def look(self) -> None:
        """Record the CPU time of each process by now."""
        for pid in list_members(self.root):
            seconds = read_cpu_seconds(pid)
            if seconds == seconds:  # noqa: PLR0124 - it may have ended meanwhile: NaN
                self.seconds[pid] = seconds

    @property
    def parent(self) -> float:
        """Seconds of the first process since the watch began."""
        return self.seconds.get(self.root, float("nan")) - self.at_start.get(self.root, 0.0)

    @property
    def children(self) -> float:
        """Seconds of all others since the watch began."""
        others = self.seconds.keys() - {self.root}
        return sum(self.seconds[pid] - self.at_start.get(pid, 0.0) for pid in others)


@asynccontextmanager
async def watch_cpu(root: int) -> AsyncIterator[CpuWatch]:
    """Watch a tree until the block ends."""
    watch = CpuWatch(root)
    watch.look()
    watch.at_start = dict(watch.seconds)

    async def go_on() -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            watch.look()

    looking = asyncio.create_task(go_on())
    try:
        yield watch
    finally:
        looking.cancel()


def _pss(pid: int) -> int:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
