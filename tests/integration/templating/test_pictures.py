"""The shipped templates in a real browser, on a phone and a desk, light and dark; and their pictures in `docs`."""

from collections.abc import Iterator

import pytest
from parts import browser, pictures
from selenium import webdriver

from notifier.templating.folder import files

VIEWS = [(width, scheme) for width in pictures.WIDTHS for scheme in pictures.SCHEMES]
UNSOUND = """<!DOCTYPE html><body style="margin: 0; color: #111">
<p style="color: #999">Grey on white</p>
<p style="width: 900px">Wide</p>
<p style="width: 20px">Unbreakable</p>
<p style="height: 10px; overflow: hidden">Behind the edge</p>
<p style="font-size: 9px">Tiny</p>
<p style="font: 12px/12px serif"><a href="https://a.example">One</a><br><a href="https://b.example">Two</a></p>
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    driver = browser.started(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


async def test_every_mail_can_be_read_at_every_width_and_in_both_schemes(driver: webdriver.Chrome) -> None:
    """No scrolling sideways, contrast enough for all text, nothing cut, and links to hit; in each locale."""
    mails = await pictures.rendered()
    found = []
    for slug, previews in mails.items():
        for tag, html in previews.items():
            browser.load(driver, html)
            for width, scheme in VIEWS:
                browser.view(driver, width, scheme)
                found += [f"{slug} {tag} {width} {scheme}: {one}" for one in pictures.complaints(driver)]
    assert found == []


def test_what_cannot_be_read_is_found(driver: webdriver.Chrome) -> None:
    """Each of these faults is complained about, and nothing else."""
    browser.load(driver, UNSOUND)
    browser.view(driver, 375, "light")
    assert pictures.complaints(driver) == [
        "the page is 900 px wide, the window 375",
        "“Grey on white” has a contrast of 2.85",
        "“Unbreakable” is wider than its place",
        "“Behind the edge” is cut off",
        "“Tiny” has letters of 9 px",
        "the link “One” is too small to hit beside another",
        "the link “Two” is too small to hit beside another",
    ]


def test_every_mail_has_its_pictures() -> None:
    """Four of each shipped template, shown in the gallery, and none of another."""
    names = {pictures.name(slug, *view) for slug in files.slugs(pictures.TEMPLATES) for view in VIEWS}
    assert {path.name for path in pictures.PICTURES.glob("*")} == names
    gallery = (pictures.ROOT / "docs" / "gallery.md").read_text()
    assert [one for one in sorted(names) if f"](pictures/{one})" not in gallery] == []
