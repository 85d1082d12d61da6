"""The child process that converts one image, with little memory and time.

It answers with its progress and then the result, and imports only what that needs.
"""

import contextlib
import signal
from multiprocessing.connection import Connection

import msgspec

from notifier.rendering.child_program import confine_child
from notifier.templating.assets.image_conversion import MAX_UPLOAD_BYTES, ImageOptions, convert_image

WALL_SECONDS = 30.0
MEMORY_LIMIT = 1024 * 1024 * 1024  # bytes of address space
_MAX_OPTIONS_BYTES = 4096
_encode = msgspec.msgpack.Encoder().encode


class ConversionProgress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The progress, in per cent."""

    percent: int


def serve_conversion(connection: Connection, nice: int) -> None:
    """Run in the child: read the options and the image, answer, and end."""
    confine_child(nice, MEMORY_LIMIT)
    signal.alarm(int(WALL_SECONDS) + 5)  # in case the parent process is dead
    with connection, contextlib.suppress(OSError, EOFError):
        options = msgspec.msgpack.decode(connection.recv_bytes(_MAX_OPTIONS_BYTES), type=ImageOptions)
        data = connection.recv_bytes(MAX_UPLOAD_BYTES + 1)

        def report(percent: int) -> None:
            connection.send_bytes(_encode(ConversionProgress(percent=percent)))

        connection.send_bytes(_encode(convert_image(data, options, report)))
