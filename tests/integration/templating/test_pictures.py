"""The shipped templates in a real browser: phone and desktop, light and dark; and their pictures in `docs`."""

import asyncio
from collections.abc import Iterator

import pytest
from support import browser, template_pictures
from support.browser import BrowserWindow

from notifier.templating.sync import template_files

VIEWS = [(width, scheme) for width in template_pictures.WIDTHS for scheme in template_pictures.SCHEMES]
UNSOUND = """<!DOCTYPE html><body style="margin: 0; color: #111">
<p style="color: #999">Grey on white</p>
<p style="width: 900px">Wide</p>
<p style="width: 20px">Unbreakable</p>
<p style="height: 10px; overflow: hidden">Behind the edge</p>
<p style="font-size: 9px">Tiny</p>
<p style="font: 12px/12px serif"><a href="https://a.example">One</a><br><a href="https://b.example">Two</a></p>
"""


@pytest.fixture(scope="module")
def mails() -> dict[str, dict[str, str]]:
    """Each shipped template in each of its locales, made before there is a browser."""
    return asyncio.run(template_pictures.render_samples())


@pytest.fixture(scope="module")
def window(mails: dict[str, dict[str, str]]) -> Iterator[BrowserWindow]:
    with browser.open_window() as opened:
        yield opened


def test_every_mail_can_be_read_at_every_width_and_in_both_schemes(
    mails: dict[str, dict[str, str]], window: BrowserWindow
) -> None:
    """No sideways scrolling, enough contrast, no clipped text, large enough links; in each locale."""
    complaints = []
    for slug, previews in mails.items():
        for tag, html in previews.items():
            window.load(html)
            for width, scheme in VIEWS:
                window.set_view(width, scheme)
                complaints += [
                    f"{slug} {tag} {width} {scheme}: {complaint}"
                    for complaint in template_pictures.find_complaints(window)
                ]
    assert complaints == []


def test_what_cannot_be_read_is_found(window: BrowserWindow) -> None:
    """Each deliberate fault is reported, and nothing else."""
    window.load(UNSOUND)
    window.set_view(375, "light")
    assert template_pictures.find_complaints(window) == [
        "the page is 900 px wide, the window 375",
        "“Grey on white” has a contrast of 2.85",
        "“Unbreakable” is wider than its place",
        "“Behind the edge” is cut off",
        "“Tiny” has letters of 9 px",
        "the link “One” is too small to hit beside another",
        "the link “Two” is too small to hit beside another",
    ]


def test_every_mail_has_its_pictures() -> None:
    """Each shipped template has four pictures, listed in the gallery, and there are no others."""
    names = {
        template_pictures.get_file_name(slug, *view)
        for slug in template_files.list_slugs(template_pictures.TEMPLATES)
        for view in VIEWS
    }
    assert {path.name for path in template_pictures.PICTURES.glob("*") if not path.name.startswith("console-")} == names
    gallery = (template_pictures.ROOT / "docs" / "gallery.md").read_text()
    assert [name for name in sorted(names) if f"](pictures/{name})" not in gallery] == []
