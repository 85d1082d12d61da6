"""The process that converts images."""

import multiprocessing
import os

from support.sample_images import draw_red_bar, encode_image

from notifier.rendering.preview_pool import PREVIEW_NICENESS
from notifier.templating.assets import conversion_process
from notifier.templating.assets.image_conversion import ConvertedImage, ImageOptions

MAX_NICE = 19


def test_it_lets_everything_else_go_first() -> None:
    """The conversion process has a lower CPU priority than mail and requests."""
    nice: list[int] = []

    def look(_percent: int) -> None:
        result = [child.pid for child in multiprocessing.active_children() if child.name == "notifier-image"]
        nice.extend(os.getpriority(os.PRIO_PROCESS, pid) for pid in result if pid is not None)

    assert isinstance(
        conversion_process.convert_in_child(encode_image(draw_red_bar()), ImageOptions(), progress=look), ConvertedImage
    )
    assert set(nice) == {min(MAX_NICE, os.getpriority(os.PRIO_PROCESS, 0) + PREVIEW_NICENESS)}
