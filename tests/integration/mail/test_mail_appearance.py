"""Moving styles into the tags changes nothing of how a mail looks: a browser is asked, before and after."""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import css_inline
import pytest
from support import browser, mail_appearance, mail_corpus
from support.browser import BrowserWindow
from support.random_mail import RandomMail

from notifier.mail.style_inliner import inline_styles
from notifier.template_language.compiled_version import CompiledVersion

SOURCES: Final = mail_corpus.list_sources()
EXPLAINED: Final[dict[str, str]] = {}
"""Mail → why it may look different once it is sent; there is none."""
RANDOM_MAILS: Final = 60
_COMPARE: Final = (Path(__file__).parents[2] / "support" / "compare_frames.js").read_text()
PLAIN: Final = css_inline.CSSInliner(keep_style_tags=False, keep_at_rules=True, load_remote_stylesheets=False)
"""How styles were moved before: each rule that selects something, wherever it stands."""


@pytest.fixture(scope="module")
def window() -> Iterator[BrowserWindow]:
    with browser.open_window() as opened:
        yield opened


@pytest.mark.parametrize("name", SOURCES)
def test_a_mail_looks_as_it_was_written(window: BrowserWindow, name: str) -> None:
    """What is sent has the pixels and the computed styles of what was written: phone and desk, light and dark."""
    source = SOURCES[name]
    written, sent = mail_corpus.write_html(source), CompiledVersion(source).render(None, dict(source.sample)).html
    one_by_one = inline_styles(written)  # the same, unless the version's own tags had their styles already
    different = mail_appearance.find_differences(window, written, *dict.fromkeys((sent, one_by_one)))
    assert (different != []) == (name in EXPLAINED), "\n".join(different[:20])


def test_the_corpus_is_large_and_most_of_it_is_moved() -> None:
    """At least 25 mails; in nearly all of them something changes, or there would be nothing to compare."""
    written = {name: mail_corpus.write_html(source) for name, source in SOURCES.items()}
    assert len(written) >= 40
    unchanged = {name for name, text in written.items() if inline_styles(text) == text}
    assert unchanged == {"attributes", "layers", "letter", "values"}


@pytest.mark.parametrize("name", ["important", "style-media", "client-rules", "plain-media", "shorthands", "fallbacks"])
def test_the_comparison_finds_a_rule_that_was_moved_blindly(window: BrowserWindow, name: str) -> None:
    """Moving each rule as it stands is seen, and so is a mail program that no longer finds its rules."""
    written = mail_corpus.write_html(SOURCES[name])
    assert mail_appearance.find_differences(window, _in_outlook(written), _in_outlook(PLAIN.inline(written))) != []


@pytest.mark.parametrize("name", ["client-rules", "dark-mode", "hybrid", "campaign"])
def test_a_mail_program_still_finds_its_rules(window: BrowserWindow, name: str) -> None:
    """With the marks that Outlook on the web and others set, the mail looks as it was written."""
    written = mail_corpus.write_html(SOURCES[name])
    assert mail_appearance.find_differences(window, _in_outlook(written), _in_outlook(inline_styles(written))) == []


def _in_outlook(mail: str) -> str:
    marked = mail.replace("<html", "<html data-ogsc data-ogsb", 1)
    return marked.replace('<body id="body"', '<body id="MessageViewBody" class="ExternalClass"', 1)


def test_a_link_under_the_pointer_looks_as_it_was_written(window: BrowserWindow) -> None:
    """A rule for :hover still wins over what has been moved into the tag."""
    written = mail_corpus.write_html(SOURCES["buttons"])
    colours = [_hovered(window, page) for page in (written, inline_styles(written))]
    assert colours[0] == colours[1]
    assert "rgb(184, 63, 26)" in colours[0]


def _hovered(window: BrowserWindow, mail: str) -> list[str]:
    """The background of each link while the pointer is over it."""
    window.load(mail)
    window.set_view(700, "light")
    for command in ("DOM.enable", "CSS.enable"):
        window.devtools.send(command)
    root = window.devtools.send("DOM.getDocument")["root"]["nodeId"]
    links = window.devtools.send("DOM.querySelectorAll", {"nodeId": root, "selector": "a"})["nodeIds"]
    for link in links:
        window.devtools.send("CSS.forcePseudoState", {"nodeId": link, "forcedPseudoClasses": ["hover"]})
    script = "return [...document.querySelectorAll('a')].map((link) => getComputedStyle(link).backgroundColor)"
    colours: list[str] = window.run_script(script)
    return colours


def test_random_styles_come_to_the_same(window: BrowserWindow) -> None:
    """Whatever fights with whatever: every element of every mail has the computed style that it had."""
    mails = {seed: RandomMail(seed).write() for seed in range(RANDOM_MAILS)}
    moved = {seed: inline_styles(mail) for seed, mail in mails.items()}
    assert sum(moved[seed] != mails[seed] for seed in mails) > RANDOM_MAILS // 3
    frames = [
        f'<iframe class="{row}" name="{seed}" srcdoc="{html.escape(texts[seed])}"></iframe>'
        for seed in mails
        if moved[seed] != mails[seed]
        for row, texts in (("before", mails), ("after", moved))
    ]
    window.load(f"<!DOCTYPE html><body>{''.join(frames)}")
    for width, scheme in ((375, "light"), (700, "dark")):
        window.set_view(800, scheme)
        window.run_script("for (const one of document.querySelectorAll('iframe')) one.width = arguments[0]", width)
        differences = window.run_script(_COMPARE)
        assert differences == [], f"{differences[0]}\n{mails[differences[0][0]]}\n{moved[differences[0][0]]}"
