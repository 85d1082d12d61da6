"""The conversion of one image in a child process (`conversion_program`) with little memory and time.

An image that exploits a decoder harms only that process. The process answers with plain data; if it dies, the image is
rejected.
"""

from collections.abc import Callable

import msgspec

from notifier.rendering.one_task_child import TaskCrashedError, TaskTimeoutError, open_child, receive_answers
from notifier.templating.assets.conversion_program import WALL_SECONDS, ConversionProgress, serve_conversion
from notifier.templating.assets.image_conversion import (
    MAX_FILE_BYTES,
    MAX_UPLOAD_BYTES,
    TOO_LONG,
    ConvertedImage,
    ImageOptions,
    RejectedImage,
)

_MAX_ANSWER_BYTES = 4 * MAX_FILE_BYTES
TIMED_OUT = RejectedImage(reason=f"converting the image took longer than {WALL_SECONDS:g} s")
CRASHED = RejectedImage(reason="the image made its decoder fail")
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
    try:
        with open_child(serve_conversion, (_encode(options), data), "notifier-image") as connection:
            answers = receive_answers(
                connection, wall_seconds=WALL_SECONDS, max_bytes=_MAX_ANSWER_BYTES, is_wanted=is_wanted
            )
            for encoded in answers:
                answer = _ANSWER.decode(encoded)
                if not isinstance(answer, ConversionProgress):
                    return answer
                progress(min(max(answer.percent, 0), 99))
    except TaskTimeoutError:
        return TIMED_OUT
    except (TaskCrashedError, msgspec.MsgspecError):
        return CRASHED
    return None
