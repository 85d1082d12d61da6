"""Replacing a lost rendering child, and the priority of an editor's child."""

import asyncio
import multiprocessing
import os
import signal
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from support import polling
from support.example_render_job import GOOD, build_job

from notifier.rendering.pool import RenderingPool

_FORKSERVER: Any = forkserver  # the id of its process is not public


def _pid() -> int:
    (pid,) = [child.pid for child in multiprocessing.active_children() if child.name == "notifier-rendering"]
    assert pid is not None
    return pid


async def _until_another_than(pid: int) -> int:
    """Wait for another child, and return its process id."""
    while True:
        pids = [child.pid for child in multiprocessing.active_children() if child.name == "notifier-rendering"]
        if pids and pids[0] is not None and pids != [pid]:
            return pids[0]
        await asyncio.sleep(0)


async def test_a_lost_child_is_replaced_before_anybody_asks() -> None:
    """A lost child is replaced at once, so the next mail does not wait for a start."""
    async with RenderingPool() as pool:
        await pool.render([build_job()], {"good": GOOD})
        first = _pid()
        os.kill(first, signal.SIGKILL)
        assert await _until_another_than(first) != first


async def test_a_child_that_was_of_no_use_is_not_replaced_unasked() -> None:
    """A child that dies right after its start is replaced only on request."""
    async with RenderingPool():
        (child,) = multiprocessing.active_children()
        child.kill()
        await asyncio.to_thread(child.join)
        for _ in range(100):
            await asyncio.sleep(0)
        assert multiprocessing.active_children() == []


async def test_a_stop_right_after_a_loss_leaves_no_process() -> None:
    """The replacement is not started, or it is stopped."""
    async with RenderingPool() as pool:
        await pool.render([build_job()], {"good": GOOD})
        os.kill(_pid(), signal.SIGKILL)
    assert multiprocessing.active_children() == []


async def test_a_nice_pool_lets_others_go_first() -> None:
    """Previews are rendered by a process with a lower priority."""
    async with RenderingPool(nice=7):
        assert os.getpriority(os.PRIO_PROCESS, _pid()) == os.getpriority(os.PRIO_PROCESS, 0) + 7


async def test_a_server_process_that_is_killed_during_a_start_is_replaced() -> None:
    """The child is started by another server process, and the mail is rendered."""
    async with RenderingPool() as first:
        await first.render([build_job()], {"good": GOOD})
        server = _FORKSERVER._forkserver._forkserver_pid
        os.kill(server, signal.SIGSTOP)
        before = _count_open_files()
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(_render_in_another_pool())
            await polling.wait_until(lambda: _count_open_files() > before + 3)  # it waits for a reply
            os.kill(server, signal.SIGKILL)
        assert starting.result() == 1
        assert _FORKSERVER._forkserver._forkserver_pid != server


def _count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _render_in_another_pool() -> int:
    """Render a mail in a pool of its own, and return how many results there are."""
    async with RenderingPool() as pool:
        return len(await pool.render([build_job()], {"good": GOOD}))
