"""The pictures of the shipped templates in `docs/pictures`: what each one's sample looks like on a phone and a desk.

`PYTHONPATH=.:tests python -m support.template_pictures` takes them again. Also lists what a browser finds wrong.
"""

import asyncio
import io
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver

from notifier.rendering.pool import RenderingPool
from notifier.templating.sync import template_files
from support import browser

ROOT = Path(__file__).parents[2]
TEMPLATES, PICTURES = ROOT / "templates", ROOT / "docs" / "pictures"
WIDTHS, SCHEMES = (375, 640), ("light", "dark")
SHARPNESS = 1.5  # device pixels for a CSS pixel: enough for print, few enough for a repository
COLOURS = 96
Colour = tuple[int, int, int]
_COMPLAINTS = (Path(__file__).parent / "complaints.js").read_text()


async def render_samples() -> dict[str, dict[str, str]]:
    """Slug → locale → HTML of each shipped template's sample, from the pool that mails are rendered in."""
    async with RenderingPool() as pool:
        reports = {
            slug: await pool.check(template_files.read_template(TEMPLATES, slug))
            for slug in template_files.list_slugs(TEMPLATES)
        }
    return {slug: {tag: preview.html for tag, preview in report.previews.items()} for slug, report in reports.items()}


def get_file_name(slug: str, width: int, scheme: str) -> str:
    """The file of one picture."""
    return f"{slug}-{width}-{scheme}.png"


def find_complaints(driver: webdriver.Chrome) -> list[str]:
    """What is wrong with the page as it is seen now: width, contrast, clipped text, links too small to hit."""
    complaints: list[str] = driver.execute_script(_COMPLAINTS)
    return complaints


def take_pictures(driver: webdriver.Chrome, mails: dict[str, dict[str, str]], folder: Path) -> None:
    """Write every picture into the folder."""
    folder.mkdir(exist_ok=True)
    for slug, previews in mails.items():
        browser.load_page(driver, next(iter(previews.values())))
        for width in WIDTHS:
            for scheme in SCHEMES:
                browser.set_view(driver, width, scheme, scale=SHARPNESS)
                (folder / get_file_name(slug, width, scheme)).write_bytes(_compact(browser.take_screenshot(driver)))


def _compact(png: bytes) -> bytes:
    """The same picture in its most frequent colours, each just as it is; the others are edges of letters."""
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
    """Take all pictures anew."""
    mails = asyncio.run(render_samples())
    with tempfile.TemporaryDirectory() as profile:
        driver = browser.start_browser(Path(profile))
        try:
            take_pictures(driver, mails, PICTURES)
        finally:
            driver.quit()


if __name__ == "__main__":
    main()
