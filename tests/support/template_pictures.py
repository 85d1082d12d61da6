"""The pictures of the shipped templates in `docs/pictures`, on a phone and a desktop.

`PYTHONPATH=.:tests python -m support.template_pictures` takes them again. Also lists what a browser finds wrong.
"""

import asyncio
import io
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from notifier.rendering.pool import RenderingPool
from notifier.templating.sync import template_files
from support import browser
from support.browser import BrowserWindow

ROOT = Path(__file__).parents[2]
TEMPLATES, PICTURES = ROOT / "templates", ROOT / "docs" / "pictures"
WIDTHS, SCHEMES = (375, 640), ("light", "dark")
SHARPNESS = 1.5  # device pixels for a CSS pixel: sharp in print, and small enough for a repository
COLOURS = 96
Colour = tuple[int, int, int]
_COMPLAINTS = (Path(__file__).parent / "complaints.js").read_text()


async def render_samples() -> dict[str, dict[str, str]]:
    """Render each shipped template's sample with the pool; slug → locale → HTML."""
    async with RenderingPool() as pool:
        reports = {
            slug: await pool.check(template_files.read_template(TEMPLATES, slug))
            for slug in template_files.list_slugs(TEMPLATES)
        }
    return {slug: {tag: preview.html for tag, preview in report.previews.items()} for slug, report in reports.items()}


def get_file_name(slug: str, width: int, scheme: str) -> str:
    """Get the file name of a picture."""
    return f"{slug}-{width}-{scheme}.png"


def find_complaints(window: BrowserWindow) -> list[str]:
    """List faults of the current page: width, contrast, clipped text, small links."""
    complaints: list[str] = window.run_script(_COMPLAINTS)
    return complaints


def take_pictures(window: BrowserWindow, mails: dict[str, dict[str, str]], folder: Path) -> None:
    """Write every picture into the folder."""
    folder.mkdir(exist_ok=True)
    for slug, previews in mails.items():
        window.load(next(iter(previews.values())))
        for width in WIDTHS:
            for scheme in SCHEMES:
                window.set_view(width, scheme, scale=SHARPNESS)
                (folder / get_file_name(slug, width, scheme)).write_bytes(_compact(window.take_screenshot()))


def _compact(png: bytes) -> bytes:
    """Reduce the picture to its most frequent colours; edges of letters may change."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    counted: Any = picture.getcolors(picture.width * picture.height)
    colours = [colour for _, colour in sorted(counted, reverse=True)[:COLOURS]]
    nearest = {colour: min(range(len(colours)), key=partial(_distance, colour, colours)) for _, colour in counted}
    octets = picture.tobytes()
    pixels = bytes(nearest[pixel] for pixel in zip(octets[::3], octets[1::3], octets[2::3], strict=True))
    reduced, file = Image.frombytes("P", picture.size, pixels), io.BytesIO()
    reduced.putpalette([part for colour in colours for part in colour])
    reduced.save(file, "PNG", optimize=True)
    return file.getvalue()


def _distance(colour: Colour, colours: list[Colour], place: int) -> int:
    return sum((value - other) ** 2 for value, other in zip(colour, colours[place], strict=True))


def main() -> None:
    """Take all pictures."""
    mails = asyncio.run(render_samples())
    with browser.open_window() as window:
        take_pictures(window, mails, PICTURES)


if __name__ == "__main__":
    main()
