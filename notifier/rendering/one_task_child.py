"""A child process for one task that must not harm this process, such as decoding a file of somebody else.

The child has limits on memory and time. It is killed as soon as its answer is there, or is not wanted any more.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection

from notifier.rendering import preview_pool
from notifier.rendering.child_process import get_forkserver

_POLL_SECONDS = 0.1


class TaskTimeoutError(Exception):
    """The child has not answered in time."""


class TaskCrashedError(Exception):
    """The child ended without an answer, or with one that is too long."""


@contextlib.contextmanager
def open_child(serve: Callable[[Connection, int], None], messages: Sequence[bytes], name: str) -> Iterator[Connection]:
    """Start a child that runs `serve` with a low priority, send it the messages, and kill it at the end of the block.

    The child imports the module of `serve`, which should be small.
    """
    context = get_forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, preview_pool.PREVIEW_NICENESS), daemon=True, name=name)
    process.start()
    theirs.close()
    try:
        with contextlib.suppress(OSError):  # the child may have ended already, which `receive_answers` notices
            for message in messages:
                ours.send_bytes(message)
        yield ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def receive_answers(
    connection: Connection, *, wall_seconds: float, max_bytes: int, is_wanted: Callable[[], bool]
) -> Iterator[bytes]:
    """Yield the answers of the child until they are not wanted any more.

    Raises `TaskTimeoutError` after `wall_seconds`, and `TaskCrashedError`.
    """
    deadline = time.monotonic() + wall_seconds
    while is_wanted():
        if time.monotonic() > deadline:
            raise TaskTimeoutError
        try:
            if not connection.poll(_POLL_SECONDS):
                continue
            answer = connection.recv_bytes(max_bytes)
        except (OSError, EOFError) as error:
            raise TaskCrashedError from error
        yield answer
