"""Text that the HTML hides is not in the generated text part, and visible text is."""

import pytest

from notifier.mail.plain_text.text_builder import build_plain_text

RECEIPT = """<!DOCTYPE html><html><head><style>
.preheader { display: none !important; visibility: hidden; mso-hide: all; max-height: 0; overflow: hidden }
</style></head><body><span class="preheader">Your receipt&zwnj;&nbsp;&zwnj;&nbsp;</span>
<table><tr><td><a href="https://shop.example">Larkspur</a></td></tr></table><h1>Hello Ada</h1></body></html>"""


def test_a_preheader_goes_with_its_filler() -> None:
    """A hidden preheader and its filler are removed, also from content whose styles are not inlined."""
    assert build_plain_text(RECEIPT) == "Larkspur <https://shop.example>\n\nHello Ada\n"


@pytest.mark.parametrize(
    "style",
    [
        "display:none",
        "DISPLAY : None !important",
        "display:none!important;display:block",
        "visibility:hidden",
        "opacity:0",
        "opacity:0;opacity:nonsense",
        "max-height:0;overflow:hidden",
        "mso-hide:all;height:0px;overflow:hidden",
        "max-width:0;overflow:hidden",
        "width:1px;height:1px;overflow:hidden;position:absolute",
        "font-size:0",
        "font-size:1px;line-height:1px",
        "font:0/0 a",
        "color:transparent",
        "color:rgba(255,255,255,0)",
        "position:absolute;left:-9999px",
        "text-indent:-9999px",
        "position:absolute;clip:rect(0 0 0 0)",
        "clip-path:inset(50%)",
        "transform:scale(0)",
        "font-family:'a;b';display:none",
        "color:red;/* x */display:none",
    ],
)
def test_hidden_text_is_not_said(style: str) -> None:
    """Text hidden by a `style` attribute, a rule or an ancestor is removed."""
    assert build_plain_text(f'<div style="{style}">lost</div>seen') == "seen\n"
    assert build_plain_text(f"<style>.a b, .x{{{style}}}</style><div class=x>lost</div>seen") == "seen\n"
    assert build_plain_text(f'<div style="{style}"><p>lost <b>lost</b></p></div>seen') == "seen\n"


@pytest.mark.parametrize(
    "html",
    [
        '<div style="display:none;display:block">seen</div>',
        '<div style="display:nonsense">seen</div>',
        '<div style="/* display:none */color:red">seen</div>',
        "<div style=\"background:url('display:none;')\">seen</div>",
        '<div hidden style="display:block">seen</div>',
        '<div style="visibility:hidden"><b style="visibility:visible">seen</b></div>',
        '<td style="font-size:0"><p style="font-size:14px">seen</p></td>',
        '<div style="font-size:0"><b style="font:12px/1.5 Arial">seen</b></div>',
        '<div style="font-size:0"><table><tr><td>seen</td></tr></table></div>',  # so do browsers without a DOCTYPE
        '<div style="color:transparent"><i style="color:#000">seen</i></div>',
        '<h1 style="color:transparent;-webkit-background-clip:text">seen</h1>',
        '<div style="max-height:0">seen</div>',
        '<span style="max-height:0;overflow:hidden">seen</span>',
        '<table><tr><td style="height:0;overflow:hidden">seen</td></tr></table>',
        '<div style="mso-hide:all">seen</div>',
        '<p aria-hidden="true">seen</p>',
        '<div style="opacity:0.1;line-height:0;color:#fff">seen</div>',
        "<style>p:hover{display:none} p::before{display:none} .x p{display:none}</style><p>seen</p>",
        "<style media=print>p{display:none}</style><p>seen</p>",
        "<style>p{display:none} p.a{display:block}</style><p class=a>seen</p>",
        "<style>#i{display:block} p.a.b{display:none}</style><p class='a b' id=i>seen</p>",
        "<style>p{display:none}</style><p style=display:block>seen</p>",
        "<style>u + #body p, [data-ogsc] p{display:none}</style><p>seen</p>",
        "<style>/* p{display:none} */ @import 'x'; p:not(p){display:none}</style><p>seen</p>",
    ],
)
def test_what_is_shown_after_all_is_said(html: str) -> None:
    """Text stays if a later or stronger rule shows it, or the hiding value is invalid."""
    assert build_plain_text(html) == "seen\n"


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("screen", True),
        ("all", True),
        ("print", False),
        ("only screen and (max-width: 600px)", False),
        ("(min-width:601px)", True),
        ("(min-width: 30em) and (max-width: 200em)", True),
        ("(width >= 600px)", True),
        ("(width<600px)", False),
        ("not all and (max-width:600px)", True),
        ("not screen", False),
        ("print, (min-width:1px)", True),
        ("(prefers-color-scheme: dark)", False),
        ("(prefers-color-scheme: light)", True),
        ("screen and (-webkit-min-device-pixel-ratio:0)", False),
        ("(min-width:1..2px)", False),
        ("", True),
    ],
)
def test_media_rules_count_as_on_a_desktop(query: str, holds: bool) -> None:  # noqa: FBT001 - a row of the table
    """Media rules are evaluated for a light desktop of 1024 pixels; unknown ones do not match."""
    text = "shown\n" if holds else "lost\n\nshown\n"
    assert build_plain_text(f"<style>@media {query}{{.a{{display:none}}}}</style><p class=a>lost</p>shown") == text
    assert build_plain_text(f'<style media="{query}">.a{{display:none}}</style><p class=a>lost</p>shown') == text


def test_the_version_for_phones_is_not_said_beside_the_one_for_desks() -> None:
    """Of a phone and a desktop version of the same text only the desktop one stays."""
    html = (
        "<style>.phone{display:none} @media (max-width:600px){.phone{display:block!important}"
        ".desk{display:none}}</style>"
        '<p class="phone">lost</p><p class="desk">seen</p>'
    )
    assert build_plain_text(html) == "seen\n"
