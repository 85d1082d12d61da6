"""The conversion of one image in a child process that has little memory and time.

An image that exploits a decoder harms that process only: its answer is plain data, and its death is a reason.
"""

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import msgspec

from notifier.rendering.child import silence_stderr
from notifier.rendering.on_demand import NICE
from notifier.rendering.process import forkserver
from notifier.templating.assets.image import LARGEST_FILE, LARGEST_UPLOAD, TOO_LONG, Made, Refused, Wish, make

WALL_SECONDS = 30.0
MEMORY_LIMIT = 1024 * 1024 * 1024  # bytes of address space
_LOOK_SECONDS = 0.1
_LARGEST_ANSWER = 4 * LARGEST_FILE
OVERRAN = Refused(reason=f"converting the image took longer than {WALL_SECONDS:g} s")
DIED = Refused(reason="the image made its decoder fail")


class Step(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The progress, in per cent."""

    percent: int


_ANSWER: msgspec.msgpack.Decoder[Made | Refused | Step] = msgspec.msgpack.Decoder(Made | Refused | Step)
_encode = msgspec.msgpack.Encoder().encode


def run(
    data: bytes,
    wish: Wish,
    *,
    progress: Callable[[int], None] = lambda _percent: None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Made | Refused | None:
    """Convert the image in a child process, and wait for it; None if it is not wanted any more."""
    if len(data) > LARGEST_UPLOAD:
        return Refused(reason=TOO_LONG)
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True, name="notifier-image")
    process.start()
    theirs.close()
    try:
        with contextlib.suppress(OSError):  # the child may have ended already: `_answer` finds out
            ours.send_bytes(_encode(wish))
            ours.send_bytes(data)
        return _answer(ours, progress, is_wanted)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def _answer(ours: Connection, progress: Callable[[int], None], is_wanted: Callable[[], bool]) -> Made | Refused | None:
    """Wait for the answer of the child, within the time limit."""
    deadline = time.monotonic() + WALL_SECONDS
    while is_wanted():
        if time.monotonic() > deadline:
            return OVERRAN
        try:
            if not ours.poll(_LOOK_SECONDS):
                continue
            answer = _ANSWER.decode(ours.recv_bytes(_LARGEST_ANSWER))
        except (OSError, EOFError, msgspec.MsgspecError):
            return DIED
        if not isinstance(answer, Step):
            return answer
        progress(min(max(answer.percent, 0), 99))
    return None


def serve(connection: Connection) -> None:
    """Run in the child, at low priority: read the options and the image, answer, and end."""
    silence_stderr()
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(WALL_SECONDS) + 5)  # in case the parent process is dead
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with connection, contextlib.suppress(OSError, EOFError):
        wish = msgspec.msgpack.decode(connection.recv_bytes(1024), type=Wish)
        data = connection.recv_bytes(LARGEST_UPLOAD + 1)
        connection.send_bytes(
            _encode(make(data, wish, lambda percent: connection.send_bytes(_encode(Step(percent=percent)))))
        )
