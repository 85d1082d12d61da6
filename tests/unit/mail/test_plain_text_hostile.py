"""Hostile HTML: the generated text part keeps its words and is made in bounded time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.mail import html_reader
from notifier.mail.plain_text import style_cascade
from notifier.mail.plain_text.text_builder import build_plain_text

MAX_SOURCE = 512 * 1024  # bytes of a template's source
HOSTILE = {
    "blocks": "<div>" * 100_000 + "word",
    "tables": "<table><tr><td>" * 30_000 + "word",
    "lists": "<ul><li>" * 60_000 + "word",
    "links around blocks": "<a href=x><div>" * 30_000 + "word",
    "formatting": "".join(f"<p><font color={number}>" for number in range(20_000)) + "word",
    "attributes": "<p " + " ".join(f"a{number}" for number in range(70_000)) + ">word",
    "rules": "<style>" + ".c{display:none}" * 8_000 + "</style>" + "<p>" * 30_000 + "word",
    "rules for all": "<style>" + "*{color:red}" * 8_000 + "</style>" + "<p>" * 30_000 + "word",
    "rules that count": "<style>" + "p:nth-last-of-type(3n){opacity:1}" * 900 + "</style>" + "<p>" * 30_000 + "word",
    "rules that look inside": "<style>" + "p:has(b){color:red}" * 900 + "</style>" + "<p>" * 30_000 + "word",
    "brackets in a rule": "<style>" + "{" * 100_000 + "</style>word",
    "brackets in a style": "<p style='color:" + "(" * 400_000 + "'>word",
    "letters in a style": "<p style='" + "a" * 400_000 + "'>word",
    "digits in a style": "<p style='width:" + "1" * 400_000 + "x;opacity:" + "1" * 90_000 + "x'>word",
    "signs": "<" * 100_000 + "a" + "<!--" * 100_000 + "-->word",
    "blanks": "<p>" + " \n" * 250_000 + "word" + "\u200c" * 100_000,
}


@pytest.mark.parametrize("depth", [60, 300, 600, 5_000])
@pytest.mark.parametrize(
    ("opening", "closing"),
    [("<table><tr><td>", "</td></tr></table>"), ("<div>", "</div>"), ("<b>", "</b>"), ("<div>", ""), ("<font>", "")],
)
def test_depth_loses_nothing(opening: str, closing: str, depth: int) -> None:
    """Deep nesting keeps text, link and following text, with and without closing tags."""
    html = f'{opening * depth}<a href="https://x.example">deep</a>{closing * depth}<p>behind</p>'
    assert build_plain_text(html) == "deep <https://x.example>\n\nbehind\n"


def test_what_hides_hides_in_the_depth() -> None:
    """A hidden element stays hidden inside thousands of elements."""
    assert build_plain_text("<div>" * 3_000 + "<p hidden>lost</p>seen" + "</div>" * 3_000) == "seen\n"


@pytest.mark.parametrize("name", HOSTILE)
def test_it_comes_to_an_end(name: str) -> None:
    """Half a megabyte that would be quadratic in HTML5 or CSS ends soon because of the limits."""
    html = HOSTILE[name]
    assert len(html) < 2 * MAX_SOURCE
    assert "word" in build_plain_text(html)


def test_a_long_mail_keeps_every_word() -> None:
    """A megabyte of ordinary paragraphs does not meet a limit."""
    html = "".join(f"<p>word{number} <b>bold</b> &amp; more</p>" for number in range(25_000))
    assert build_plain_text(html).split("\n\n") == [
        f"word{number} bold & more" + ("\n" if number == 24_999 else "") for number in range(25_000)
    ]


def test_sloppy_mails_are_under_the_limits() -> None:
    """Unclosed tags, a large inline image and many rules do not meet a limit."""
    assert build_plain_text("<p><font><b><i>a" * 200).split() == ["a"] * 200
    assert build_plain_text("<li>a" * 6_000).split("\n")[:-1] == ["* a"] * 6_000
    image = "A/" * 50_000
    assert build_plain_text(f'<img src="data:image/png;base64,{image}" alt="Logo">') == "Logo\n"
    rules = "".join(f".r{number}:nth-child(1){{display:none}}" for number in range(100))
    assert (
        build_plain_text(f"<style>{rules}</style>" + "<p>a</p>" * 200 + '<div><p class="r99">lost</p>b</div>').split()[
            -1
        ]
        == "b"
    )


def test_limits_are_above_what_mails_need() -> None:
    """The limits allow 100 nested tags, and 1,000 rules on 2,000 tags."""
    assert html_reader.MIN_DEPTH >= 100
    assert style_cascade.MAX_STEPS >= 2_000 * 1_000


OPENED = ("a", "div", "td", "tr", "table", "li", "ol", "pre", "q", "select", "b", "p")
WORDS = (
    "",
    " hidden",
    " href='tel:1'",
    *(f" style='{style}'" for style in ("display:flex", "font-size:0", "float:left")),
)
PIECES = (
    *(f"<{name}{words}>" for name in OPENED for words in WORDS),
    *(f"</{name}>" for name in ("a", "div", "td", "table", "ol", "pre", "select", "b", "p")),
    *("<br>", "<hr>", "<img alt=x>", "<!--", "-->", "<style>b{display:none}</style>", "<svg>", "<textarea>", "<sup>"),
    *("word", "12", " ", "\n", "&nbsp;", "&zwnj;", "&#0;", "&lt;", "<", "tel:1", "\u2028"),
)  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_soup_of_tags_becomes_a_tidy_text(pieces: list[str]) -> None:
    """Random tags give the same text each time, without double blank lines or trailing spaces."""
    html = "".join(pieces)
    text = build_plain_text(html)
    assert text == build_plain_text(html)
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    assert [line for line in text.split("\n") if line != line.rstrip()] == []
