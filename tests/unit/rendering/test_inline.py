"""The decision to leave a mail's styles as they are, with the inliner itself as the oracle."""

import re

import css_inline
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.rendering.inline import inline_css

SEARCH = settings(max_examples=200, deadline=None, derandomize=True, database=None)
FRAGMENTS = st.sampled_from(
    [
        *("p{color:red}", "p{color:red", "color:red}", "p", "{", "}", ";", " ", "\n", "(", ")", "[", "]", "a:after"),
        *("@media (max-width:9px){p{color:red}}", "@media x{", "@MEDIA y{", "@media ", "@media{", "@media;", "}}"),
        *("@import 'a.css';", "@font-face{font-family:x}", "@supports (color:red){", "@layer a{", "@charset 'x';"),
        *("/*", "*/", "/* } */", "'", '"', "'{'", '"}"', "\\", "\\}", "url(", "url(})", "<!--", "-->", "content:"),
    ]
)
CSS = st.lists(FRAGMENTS, max_size=9).map("".join)
TAGS = st.sampled_from(
    ["<style>", "<style type='text/css'>", "<STYLE>", '<style title="a>b">', "<style\n>", "<style/>"]
)
ENDS = st.sampled_from(["</style>", "</STYLE>", "</style >", ""])
ORACLE = css_inline.CSSInliner(keep_style_tags=False, load_remote_stylesheets=False)


def page(styles: str) -> str:
    """A document with this in its head."""
    return f"<html><head>{styles}</head><body><p>a</p><p>b</p></body></html>"


@pytest.mark.parametrize(
    "css",
    [
        "",
        "\n  @media (max-width: 520px) {\n    .page { padding: 16px 8px !important; }\n  }\n",
        "@media (prefers-color-scheme: dark) { p { color: red } } @MEDIA print{p{color:red}}",
        "/* phones: p { } */ @media screen and (max-width: 9px) { u + .body p { color: red; } }",
        "@media screen { [class='a'] p { color: red } }",
    ],
)
def test_a_mail_with_media_rules_only_is_left_as_it_is(css: str) -> None:
    """Styles that are inline already cost nothing: not a letter of the mail changes."""
    html = page(f'<style type="text/css">{css}</style>')
    assert inline_css(html) is html


@pytest.mark.parametrize(
    "styles",
    [
        "<style>p{color:red}</style>",
        "<style>@media x{p{color:blue}} p{color:red}</style>",
        "<style>@media x{p{color:blue}}</style><style>p{color:red}</style>",
        "<STYLE>p{color:red}</STYLE>",
        "<style>@media x{a:after{content:'{'}} p{color:red} @media y{a:after{content:'}'}}</style>",
        "<style>@media x{a:after{content:'/*'}} p{color:red} @media y{a:after{content:'*/'}}</style>",
        "<style>@media x{a{background:url({)}} p{color:red} @media y{a{background:url(})}}</style>",
        "<style>@media x{a:after{content:\\{}} p{color:red} @media y{a:after{content:\\}}}</style>",
        "<style>@media x;p{color:red}</style>",
        "<style>@supports (color:red){p{color:blue}} p{color:red}</style>",
        '<style class="a>b">p{color:red}</style>',
    ],
)
def test_a_rule_of_its_own_is_inlined(styles: str) -> None:
    """However a rule hides between media rules, it is found."""
    assert re.search(r'<p style="color: ?red;?">', inline_css(page(styles)))


@SEARCH
@given(st.lists(st.tuples(TAGS, CSS, ENDS), min_size=1, max_size=3))
def test_a_mail_that_is_left_as_it_is_had_nothing_to_inline(styles: list[tuple[str, str, str]]) -> None:
    """Where the decision is to skip it, the inliner would not have given a single element a style."""
    html = page("".join("".join(parts) for parts in styles))
    if inline_css(html) is html:
        assert "style=" not in ORACLE.inline(html)
