"""B15: an entry that kills its process is identified, and no other entry is blamed."""

import asyncio
import sys
from pathlib import Path

from support import api_caller
from support.queue_driver import QueueDriver

from notifier.outbox.entry_store import MAX_LOSSES
from notifier.states import EntryState

NEIGHBOURS = 30


async def _run_one(workers: asyncio.subprocess.Process) -> list[str]:
    """Let one worker run until it ends, and return the lines that were printed."""
    assert workers.stdin is not None
    assert workers.stdout is not None
    workers.stdin.write(b"\n")
    lines = list[str]()
    while not lines or not lines[-1].startswith("ended"):
        lines.append((await workers.stdout.readline()).decode().strip())
    return lines


async def test_an_entry_that_kills_its_process_is_poison(queue: QueueDriver, tmp_path: Path) -> None:
    """Two losses in company and three alone end the entry, and all others finish long before."""
    await queue.enqueue()
    poison = await queue.enqueue()
    for _ in range(NEIGHBOURS):
        await queue.enqueue()
    arguments = (queue.database.url, str(tmp_path / "journal"), str(poison.subject_id))
    workers = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.poisoned_worker", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    deaths, said = 0, list[str]()
    for _ in range(MAX_LOSSES + 4):
        said += await asyncio.wait_for(_run_one(workers), 100)
        if said[-1] == "ended 0" and await api_caller.count_entries(queue.database) == 0:
            break
        deaths += said[-1] == "ended 9"
        await api_caller.make_due(queue.database)
    await workers.communicate(b"")
    assert deaths == MAX_LOSSES + 1
    assert [line for line in said if line.startswith("poison")] == [f"poison {poison.subject_id}"]
    assert await queue.states() == dict.fromkeys(EntryState, 0)
