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

from notifier.rendering.child_process import get_forkserver
from notifier.rendering.child_program import silence_stderr
from notifier.rendering.preview_pool import PREVIEW_NICENESS
from notifier.templating.assets.image_conversion import (
    MAX_FILE_BYTES,
    MAX_UPLOAD_BYTES,
    TOO_LONG,
    ConvertedImage,
    ImageOptions,
    RejectedImage,
    convert_image,
)

WALL_SECONDS = 30.0
MEMORY_LIMIT = 1024 * 1024 * 1024  # bytes of address space
START_SECONDS = 30.0
_POLL_SECONDS = 0.1
_MAX_ANSWER_BYTES = 4 * MAX_FILE_BYTES
TIMED_OUT = RejectedImage(reason=f"the picture took longer than {WALL_SECONDS:g} s")
CRASHED = RejectedImage(reason="the picture made the program that reads pictures fail")


class ConversionProgress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How far it has come, in per cent."""

    percent: int


_ANSWER: msgspec.msgpack.Decoder[ConvertedImage | RejectedImage | ConversionProgress] = msgspec.msgpack.Decoder(
    ConvertedImage | RejectedImage | ConversionProgress
)
_encode = msgspec.msgpack.Encoder().encode


def convert_in_child(
    data: bytes,
    wish: ImageOptions,
    *,
    progress: Callable[[int], None] = lambda _percent: None,
    wanted: Callable[[], bool] = lambda: True,
) -> ConvertedImage | RejectedImage | None:
    """Make the files in a child, and wait for them; None if they are not `wanted` any more."""
    if len(data) > MAX_UPLOAD_BYTES:
        return RejectedImage(reason=TOO_LONG)
    context = get_forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_conversion, args=(theirs,), daemon=True, name="notifier-image")
    process.start()
    theirs.close()
    try:
        with contextlib.suppress(OSError):  # it may have ended already: its answer, or silence, says it
            ours.send_bytes(_encode(wish))
            ours.send_bytes(data)
        return _await_answer(ours, progress, wanted)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def _await_answer(
    ours: Connection, progress: Callable[[int], None], wanted: Callable[[], bool]
) -> ConvertedImage | RejectedImage | None:
    """What the child says in time."""
    ends = time.monotonic() + WALL_SECONDS
    while wanted():
        if time.monotonic() > ends:
            return TIMED_OUT
        try:
            if not ours.poll(_POLL_SECONDS):
                continue
            answer = _ANSWER.decode(ours.recv_bytes(_MAX_ANSWER_BYTES))
        except (OSError, EOFError, msgspec.MsgspecError):
            return CRASHED
        if not isinstance(answer, ConversionProgress):
            return answer
        progress(min(max(answer.percent, 0), 99))
    return None


def serve_conversion(connection: Connection) -> None:
    """The child: read a wish and a picture, answer, and end; everything else on the machine goes first."""
    silence_stderr()
    os.nice(PREVIEW_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(WALL_SECONDS) + 5)  # whoever would have killed it may be dead itself
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with connection, contextlib.suppress(OSError, EOFError):
        wish = msgspec.msgpack.decode(connection.recv_bytes(1024), type=ImageOptions)
        data = connection.recv_bytes(MAX_UPLOAD_BYTES + 1)
        connection.send_bytes(
            _encode(
                convert_image(
                    data, wish, lambda percent: connection.send_bytes(_encode(ConversionProgress(percent=percent)))
                )
            )
        )
