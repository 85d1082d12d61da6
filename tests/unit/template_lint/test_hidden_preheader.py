"""The preheader rule: which first texts of a mail count as hidden."""

import pytest
from support.lint_cases import PAGE, build_lint_source

from notifier.rendering.source_check import check_source

SHEET = "td.pre, div.pre { max-height: 0px; overflow: hidden } .late { display: none } #one { visibility: hidden }"


def codes(first: str) -> list[str]:
    """The remarks on a mail that begins with this HTML."""
    page = PAGE.replace('<div style="display: none">Soon</div>', first)
    return [
        remark.code
        for remark in check_source(build_lint_source(page=page, style=SHEET)).remarks
        if remark.code != "ignored_css"
    ]


@pytest.mark.parametrize(
    "first",
    [
        '<div style="max-height:0; overflow:hidden; mso-hide:all;" aria-hidden="true">Soon</div>',
        '<div style="height:0;overflow:hidden">Soon</div>',
        '<div style="width:0px; OVERFLOW: Hidden">Soon</div>',
        '<div style="max-height:1px;overflow:hidden">Soon</div>',
        "<div hidden>Soon</div>",
        '<span style="font-size:0">Soon</span>',
        '<span style="font-size:1px;line-height:1px;color:#ffffff">Soon</span>',
        '<span style="opacity:0">Soon</span>',
        '<span style="opacity: 0.0 !important">Soon</span>',
        '<p style="visibility:hidden">Soon</p>',
        '<div style="position:absolute; left:-9999px">Soon</div>',
        '<div style="text-indent:-9999px">Soon</div>',
        '<div style="color:transparent">Soon</div>',
        '<div style="display:none !important; display:block">Soon</div>',
        '<div style="clip: rect(0, 0, 0, 0); position: absolute">Soon</div>',
        '<div class="pre">Soon</div>',
        '<div class="late">Soon</div>',
        '<div id="one">Soon</div>',
        '<table><tr><td><div class="pre"><span>Soon</span></div></td></tr></table>',
    ],
)
def test_a_hidden_first_text_is_a_preheader(first: str) -> None:
    """Hidden by the tag, an attribute, a rule or an ancestor."""
    assert codes(first) == []


@pytest.mark.parametrize(
    "first",
    [
        "<div>Soon</div>",
        '<div style="display:none;display:block">Soon</div>',
        '<div style="max-height:0">Soon</div>',
        '<div style="max-height:100px;overflow:hidden">Soon</div>',
        '<div style="font-size:14px;opacity:0.5">Soon</div>',
        '<div style="line-height:0">Soon</div>',
        '<div style="left:-9999px">Soon</div>',
        '<div style="color:#fff">Soon</div>',
        '<span class="pre">Soon</span>',
        '<table><tr><td class="pre"><span>Soon</span></td></tr></table>',
        '<div style="mso-hide:all;line-height:0">Soon</div>',
        '<div style="display:none">&nbsp;&#847;&zwnj;</div>Soon',
    ],
)
def test_a_first_text_that_is_seen_is_none(first: str) -> None:
    """A text that is only partly hidden, or a hidden element without words, is no preheader."""
    assert codes(first) == ["missing_preheader"]
