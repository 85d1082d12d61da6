"""B15: an entry that kills its process is identified, and no other entry is blamed."""

import asyncio
import sys
from pathlib import Path

from support import api_caller
from support.queue_driver import QueueDriver

from notifier.outbox.entry_store import MAX_LOSSES
from notifier.states import EntryState

NEIGHBOURS = 30


async def test_an_entry_that_kills_its_process_is_poison(queue: QueueDriver, tmp_path: Path) -> None:
    """Two losses in company and three alone end the entry, and all others finish long before."""
    await queue.enqueue()
    poison = await queue.enqueue()
    for _ in range(NEIGHBOURS):
        await queue.enqueue()
    deaths, said = 0, ""
    for _ in range(MAX_LOSSES + 4):
        url = queue.database.url
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "support.poisoned_worker", url, str(tmp_path / "journal"), str(poison.subject_id)),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        output, _ = await asyncio.wait_for(process.communicate(), 60)
        said += output.decode()
        if process.returncode == 0 and await api_caller.count_entries(queue.database) == 0:
            break
        deaths += process.returncode == 9
        await api_caller.make_due(queue.database)
    assert deaths == MAX_LOSSES + 1
    assert [line for line in said.splitlines() if line.startswith("poison")] == [f"poison {poison.subject_id}"]
    assert await queue.states() == dict.fromkeys(EntryState, 0)
