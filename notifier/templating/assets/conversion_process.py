"""The conversion of one image in a child process with little memory and time.

An image that exploits a decoder harms only that process. The process answers with plain data; if it dies, the image is
rejected.
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
_POLL_SECONDS = 0.1
_MAX_ANSWER_BYTES = 4 * MAX_FILE_BYTES
TIMED_OUT = RejectedImage(reason=f"converting the image took longer than {WALL_SECONDS:g} s")
CRASHED = RejectedImage(reason="the image made its decoder fail")


class ConversionProgress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The progress, in per cent."""

    percent: int


_ANSWER: msgspec.msgpack.Decoder[ConvertedImage | RejectedImage | ConversionProgress] = msgspec.msgpack.Decoder(
    ConvertedImage | RejectedImage | ConversionProgress
)
_encode = msgspec.msgpack.Encoder().encode


def convert_in_child(
    data: bytes,
    options: ImageOptions,
    *,
    progress: Callable[[int], None] = lambda _percent: None,
    is_wanted: Callable[[], bool] = lambda: True,
) -> ConvertedImage | RejectedImage | None:
    """Convert the image in a child process, and wait for it; None if it is not wanted any more."""
    if len(data) > MAX_UPLOAD_BYTES:
        return RejectedImage(reason=TOO_LONG)
    context = get_forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_conversion, args=(theirs,), daemon=True, name="notifier-image")
    process.start()
    theirs.close()
    try:
        with contextlib.suppress(OSError):  # the child may have ended already, which `_await_answer` notices
            ours.send_bytes(_encode(options))
            ours.send_bytes(data)
        return _await_answer(ours, progress, is_wanted)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def _await_answer(
    ours: Connection, progress: Callable[[int], None], is_wanted: Callable[[], bool]
) -> ConvertedImage | RejectedImage | None:
    deadline = time.monotonic() + WALL_SECONDS
    while is_wanted():
        if time.monotonic() > deadline:
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
    """Run in the child, at low priority: read the options and the image, answer, and end."""
    silence_stderr()
    os.nice(PREVIEW_NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(WALL_SECONDS) + 5)  # in case the parent process is dead
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with connection, contextlib.suppress(OSError, EOFError):
        options = msgspec.msgpack.decode(connection.recv_bytes(1024), type=ImageOptions)
        data = connection.recv_bytes(MAX_UPLOAD_BYTES + 1)

        def report(percent: int) -> None:
            connection.send_bytes(_encode(ConversionProgress(percent=percent)))

        connection.send_bytes(_encode(convert_image(data, options, report)))
