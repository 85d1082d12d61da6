"""What becomes of a rendering child's place when it is lost, and how much of the processor an editor's child claims."""

import asyncio
import multiprocessing
import os
import signal

from support.example_render_job import GOOD, build_job

from notifier.rendering.pool import RenderingPool


def _pid() -> int:
    (pid,) = [child.pid for child in multiprocessing.active_children() if child.name == "notifier-rendering"]
    assert pid is not None
    return pid


async def _until_another_than(pid: int) -> int:
    """The process id of the child that took its place; within the test's own time limit."""
    while True:
        pids = [child.pid for child in multiprocessing.active_children() if child.name == "notifier-rendering"]
        if pids and pids[0] is not None and pids != [pid]:
            return pids[0]
        await asyncio.sleep(0)


async def test_a_lost_child_is_replaced_before_anybody_asks() -> None:
    """The next mail does not wait for a process to start."""
    async with RenderingPool() as pool:
        await pool.render([build_job()], {"good": GOOD})
        first = _pid()
        os.kill(first, signal.SIGKILL)
        assert await _until_another_than(first) != first


async def test_a_child_that_was_of_no_use_is_not_replaced_unasked() -> None:
    """One that dies as soon as it lives would be started over and over."""
    async with RenderingPool():
        (child,) = multiprocessing.active_children()
        child.kill()
        await asyncio.to_thread(child.join)
        for _ in range(100):
            await asyncio.sleep(0)
        assert multiprocessing.active_children() == []


async def test_a_stop_right_after_a_loss_leaves_no_process() -> None:
    """The one that would have taken its place is not started any more, or is ended."""
    async with RenderingPool() as pool:
        await pool.render([build_job()], {"good": GOOD})
        os.kill(_pid(), signal.SIGKILL)
    assert multiprocessing.active_children() == []


async def test_a_nice_pool_lets_others_go_first() -> None:
    """What editors try is rendered by a process with less claim to the processor."""
    async with RenderingPool(nice=7):
        assert os.getpriority(os.PRIO_PROCESS, _pid()) == os.getpriority(os.PRIO_PROCESS, 0) + 7
