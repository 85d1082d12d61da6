"""A picture's files, made in a process that lives for this one picture and has little memory and time.

A decoder that is led astray hurts nobody but that process: its answer is plain data and its end is a reason.
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
OVERRAN = Refused(reason=f"the picture took longer than {WALL_SECONDS:g} s")
DIED = Refused(reason="the picture made the program that reads pictures fail")


class Step(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How far it has come, in per cent."""

    percent: int


_ANSWER: msgspec.msgpack.Decoder[Made | Refused | Step] = msgspec.msgpack.Decoder(Made | Refused | Step)
_encode = msgspec.msgpack.Encoder().encode


def run(
    data: bytes,
    wish: Wish,
    *,
    progress: Callable[[int], None] = lambda _percent: None,
    wanted: Callable[[], bool] = lambda: True,
) -> Made | Refused | None:
    """Make the files in a child, and wait for them; None if they are not `wanted` any more."""
    if len(data) > LARGEST_UPLOAD:
        return Refused(reason=TOO_LONG)
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True, name="notifier-image")
    process.start()
    theirs.close()
    try:
        with contextlib.suppress(OSError):  # it may have ended already: its answer, or silence, says it
            ours.send_bytes(_encode(wish))
            ours.send_bytes(data)
        return _answer(ours, progress, wanted)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def _answer(ours: Connection, progress: Callable[[int], None], wanted: Callable[[], bool]) -> Made | Refused | None:
    """What the child says in time."""
    ends = time.monotonic() + WALL_SECONDS
    while wanted():
        if time.monotonic() > ends:
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
    """The child: read a wish and a picture, answer, and end; everything else on the machine goes first."""
    silence_stderr()
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(WALL_SECONDS) + 5)  # whoever would have killed it may be dead itself
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with connection, contextlib.suppress(OSError, EOFError):
        wish = msgspec.msgpack.decode(connection.recv_bytes(1024), type=Wish)
        data = connection.recv_bytes(LARGEST_UPLOAD + 1)
        connection.send_bytes(
            _encode(make(data, wish, lambda percent: connection.send_bytes(_encode(Step(percent=percent)))))
        )
