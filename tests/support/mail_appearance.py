"""The appearance of a mail in a browser: computed styles of all elements, and pixels."""

import io
from pathlib import Path

from PIL import Image, ImageChops

from support.browser import BrowserWindow
from support.run_selection import EVERYTHING

READ = [(375, "dark"), (700, "light")]
"""The views whose computed styles are read."""
VIEWS = [(width, scheme) for width in (375, 700) for scheme in ("light", "dark")] if EVERYTHING else READ
"""The views of which pictures are taken."""
_COMPUTED = (Path(__file__).parent / "computed_styles.js").read_text()
_SETTLE = "for (const one of document.getAnimations()) if (one instanceof CSSTransition) one.finish()"
Appearance = dict[tuple[int, str], tuple[list[tuple[str, str]], bytes]]


def record_appearance(window: BrowserWindow, html: str, *, full: bool = False) -> Appearance:
    """Record the mail in every view, with styles as hashes unless full ones are requested."""
    window.load(html)
    looks: Appearance = {}
    for width, scheme in VIEWS:
        window.set_view(width, scheme)
        window.run_script(_SETTLE)
        is_read = (width, scheme) in READ
        computed = [(name, values) for name, values in window.run_script(_COMPUTED, full)] if is_read else []
        looks[width, scheme] = computed, window.take_screenshot()
    return looks


def find_differences(window: BrowserWindow, before: str, *afters: str) -> list[str]:
    """List the properties and pictures that differ between the first mail and the others."""
    look = record_appearance(window, before)
    for after in afters:
        if _differences(look, record_appearance(window, after)):
            return _differences(
                record_appearance(window, before, full=True), record_appearance(window, after, full=True)
            )
    return []


def _differences(before: Appearance, after: Appearance) -> list[str]:
    differences = []
    for view, (computed, picture) in before.items():
        others, other = after[view]
        where = "{} px, {}".format(*view)
        if len(computed) != len(others):
            differences.append(f"{where}: {len(computed)} boxes, then {len(others)}")
        for (name, values), (_, changed) in zip(computed, others, strict=False):
            pairs = zip(values.split("\n"), changed.split("\n"), strict=False)
            differences += [f"{where}: {name}: {old} → {new}" for old, new in pairs if old != new]
        if picture != other and not _is_same(picture, other):
            differences.append(f"{where}: the pictures differ")
    return differences


def _is_same(first: bytes, other: bytes) -> bool:
    pictures = [Image.open(io.BytesIO(png)).convert("RGB") for png in (first, other)]
    return pictures[0].size == pictures[1].size and ImageChops.difference(*pictures).getbbox() is None
