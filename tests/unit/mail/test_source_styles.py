"""Inlining styles once into the source gives the same mail as inlining each mail, or is not done."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.mail.source_styles import StyledSource, style_source
from notifier.mail.style_inliner import inline_styles
from notifier.template_language.sandbox import create_environment, render_limited
from notifier.template_language.template_source import HTML
from notifier.templating.sync import template_files

PAGE = "<html><head><style>{css}</style><title>x</title></head><body>{body}</body></html>"


class _Events(HTMLParser):
    """The parse events of a page, with sorted attributes and without the place of its `<style>`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[object] = []
        self.styles: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        if not self._in_style:
            self.found.append((tag, sorted(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag != "style":
            self.found.append(tag)
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles.append("".join(data.split()))
        elif data.strip():
            self.found.append(data.split())


def _events(page: str) -> tuple[list[object], list[str]]:
    reader = _Events()
    reader.feed(page)
    return reader.found, [style for style in reader.styles if style]


def _render(sources: dict[str, str], values: dict[str, Any]) -> str:
    return render_limited(create_environment(sources, autoescape=True).get_template(HTML), values)


def _styled(page: str, **values: Any) -> StyledSource | None:
    return style_source({HTML: page}, _render({HTML: page}, values))


def _agrees(sources: dict[str, str], values: dict[str, Any], version: StyledSource) -> None:
    """Assert equal tags; a rule that matches none may remain in one of them."""
    quick = version.finish_mail(_render(version.files, values))
    assert quick is not None
    assert _events(quick)[0] == _events(inline_styles(_render(sources, values)))[0]


@pytest.mark.parametrize("slug", template_files.list_slugs(Path("templates")))
def test_every_shipped_template_is_styled_once(slug: str) -> None:
    """Each shipped template's mail equals the one that is inlined after rendering."""
    source = template_files.read_template(Path("templates"), slug)
    values = {**source.sample, "locale": "en", "subject": "Hi"}
    version = style_source(source.files, _render(source.files, values))
    assert version is not None
    _agrees(source.files, values, version)


@pytest.mark.parametrize(
    ("css", "body"),
    [
        (".a b { color: red }", "<p class='a'><b>x</b></p>"),
        ("a:hover { color: red }", "<a>x</a>"),
        ("[title] { color: red }", "<a title='x'>x</a>"),
        ("* { color: red }", "<a>x</a>"),
        ("tbody { color: red }", "<table><tr><td>x</td></tr></table>"),
        ("br { color: red }", "{{ a }}"),
        ("@import url(x.css); p { color: red }", "<p>x</p>"),
        ("p { color: red }", "<p class={{ a }}>x</p>"),
        ("p { color: red }", "<p class='{{ a }}'>x</p>"),
        ("p { color: red }", "<p{% if a %} class='b'{% endif %}>x</p>"),
        ("p { color: red }", "<p style='{{ a }}'>x</p>"),
        ("p { color: red }", "{% filter upper %}<p>x</p>{% endfilter %}"),
        ("p { color: red }", "{% set b %}<p>x</p>{% endset %}{{ b }}"),
        ("p { color: red }", "{% raw %}<p>x</p>{% endraw %}"),
        ("p { color: red }", "<style>p { margin: 0 }</style><p>x</p>"),
        ("p { color: red }", "<p>x</p>" + "<!--" * 100_000),
    ],
)
def test_what_is_not_certain_is_left_alone(css: str, body: str) -> None:
    """Sources are not inlined if rules depend on more than the tag, or tags are built while rendering."""
    assert _styled(PAGE.format(css=css, body=body), a="b") is None


def test_styles_that_turn_out_different_are_seen() -> None:
    """A mail whose rendered style sheet differs from the inlined one is inlined after rendering."""
    page = PAGE.format(css="p { color: {{ colour }} }", body="<p>x</p>")
    version = _styled(page, colour="red")
    assert version is not None
    assert version.finish_mail(_render(version.files, {"colour": "red"})) is not None
    assert version.finish_mail(_render(version.files, {"colour": "blue"})) is None
    assert _styled(f"<!--[if !mso]><!-->{page}<!--<![endif]-->", colour="red") is None
    more = PAGE.format(css="p { color: red }", body="{% if a %}<style>p { margin: 0 }</style>{% endif %}<p>x</p>")
    version = _styled(more, a=False)
    assert version is not None
    assert version.finish_mail(_render(version.files, {"a": True})) is None


_WORDS = st.sampled_from(["p", "td", "a", ".x", ".y", "p.x", ".x.y", "#i", "h1, .y", ":root", "body"])
_DECLARATIONS = st.lists(
    st.sampled_from(
        [
            *("color: red", "color: blue !important", "padding: 1px", "padding-left: 2px", "margin: 0 auto"),
            "font-family: 'Segoe UI', Arial",
        ]
    ),
    min_size=1,
    max_size=3,
).map("; ".join)
_CSS = st.lists(st.tuples(_WORDS, _DECLARATIONS).map(lambda rule: f"{rule[0]} {{ {rule[1]} }}"), min_size=1, max_size=6)
_CLASS = st.sampled_from(["", ' class="x"', " class='y  x'", ' id="i"', ' class="x" id="i"'])
_OWN = st.sampled_from(["", ' style="color: green"', ' style="height: {{ n }}px; padding: 3px"', ' title="{{ t }}>"'])
_TAG = st.tuples(st.sampled_from(["p", "a", "h1", "span"]), _CLASS, _OWN)
_CELL = st.tuples(_CLASS, _OWN).map(lambda said: f"<table><tr><td{said[0]}{said[1]}>{{{{ t }}}}</td></tr></table>")
_BODY = st.lists(
    st.one_of(_TAG.map(lambda tag: f"<{tag[0]}{tag[1]}{tag[2]}>{{{{ t }}}}</{tag[0]}>"), _CELL), min_size=1, max_size=5
).map("".join)


@given(css=_CSS, body=_BODY, n=st.integers(0, 9), t=st.sampled_from(["x", "<p class='x'>", '"&', "{{ n }}"]))
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_the_mail_is_the_same(css: list[str], body: str, n: int, t: str) -> None:
    """For random rules, tags and values the mail equals the one that is inlined after rendering."""
    page = PAGE.format(css="\n".join([*css, "@media (max-width: 9px) { p { color: red } }"]), body=body)
    version = _styled(page, n=5, t="y")
    assert version is not None
    _agrees({HTML: page}, {"n": n, "t": t}, version)
