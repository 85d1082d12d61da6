"""The process that reads a picture."""

import multiprocessing
import os

from parts.picture import drawing, encoded

from notifier.rendering.on_demand import NICE
from notifier.templating.assets import process
from notifier.templating.assets.image import Made, Wish

MAX_NICE = 19


def test_it_lets_everything_else_go_first() -> None:
    """Mail and requests have the processors before it."""
    nice: list[int] = []

    def look(_percent: int) -> None:
        found = [child.pid for child in multiprocessing.active_children() if child.name == "notifier-image"]
        nice.extend(os.getpriority(os.PRIO_PROCESS, pid) for pid in found if pid is not None)

    assert isinstance(process.run(encoded(drawing()), Wish(), progress=look), Made)
    assert set(nice) == {min(MAX_NICE, os.getpriority(os.PRIO_PROCESS, 0) + NICE)}
