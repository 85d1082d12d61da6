"""The generated text part beside a real browser: each word that is seen, each address as it is, and nothing hidden."""

from collections.abc import Iterator

import pytest
from support import browser, plain_text_corpus, visible_words
from support.browser import BrowserWindow

from notifier.mail.plain_text.text_builder import build_plain_text

SEEN = '<p>Hello <b>A</b>da</p><p hidden>lost</p><a href="https://x.example/?a=1&amp;region=eu">Go</a>'


@pytest.fixture(scope="module")
def window() -> Iterator[BrowserWindow]:
    with browser.open_window() as opened:
        yield opened


def test_every_mail_says_what_it_shows(window: BrowserWindow) -> None:
    """Words in the order in which they are seen, apart where they are seen apart, with the address of each link."""
    wrong_mails = {
        name: differences
        for name, html in plain_text_corpus.list_mails().items()
        if (differences := visible_words.differences(visible_words.visible_items(window, html), build_plain_text(html)))
    }
    assert wrong_mails == {}


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        ("Hello Ada Go <https://x.example/?a=1&region=eu>", ""),
        ("Hello A da Go <https://x.example/?a=1&region=eu>", ""),  # a browser cannot tell whether that is one word
        ("HelloAda Go <https://x.example/?a=1&region=eu>", "'A' is glued to 'Hello'"),
        ("Hello Ada lost Go <https://x.example/?a=1&region=eu>", "expected 'Go', but the text goes on with 'lost Go"),
        ("Hello Ada Go", "expected '<https://x.example/?a=1&region=eu>', but the text goes on with ''"),
        ("Hello Ada Go <https://x.example/?a=1®ion=eu>", "expected '<https://x.example/?a=1&region=eu>', but"),
        ("Hello Go <https://x.example/?a=1&region=eu>", "expected 'A', but the text goes on with 'Go"),
        ("Hello Ada Go <https://x.example/?a=1&region=eu> lost", "the text goes on with 'lost', which nobody sees"),
    ],
)
def test_what_differs_is_found(window: BrowserWindow, text: str, difference: str) -> None:
    """A word too many, too few or glued to another, and an address that was changed."""
    differences = visible_words.differences(visible_words.visible_items(window, SEEN), text)
    assert [item[: len(difference)] for item in differences] == ([difference] if difference else [])
