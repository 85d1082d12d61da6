"""Inlining styles: which rules move, which stay, and that nothing else of a mail changes.

That a mail looks the same before and after is asked of a browser, in `tests/integration/mail/test_mail_appearance.py`.
"""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.mail.style_inliner import find_unmoved_rules, inline_styles

SEARCH = settings(max_examples=200, deadline=None, derandomize=True, database=None)
FRAGMENTS = st.sampled_from(
    [
        *("p{color:red}", "p{color:red", "color:red}", "p", "{", "}", ";", " ", "\n", "(", ")", "[", "]", "a:after"),
        *("@media (max-width:9px){p{color:red}}", "@media x{", "@MEDIA y{", "@media ", "@media{", "@media;", "}}"),
        *("@import 'a.css';", "@font-face{font-family:x}", "@supports (color:red){", "@layer a{", "@charset 'x';"),
        *("/*", "*/", "/* } */", "'", '"', "'{'", '"}"', "\\", "\\}", "url(", "url(})", "<!--", "-->", "content:"),
    ]
)
XHTML = '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1-transitional.dtd">'
CSS = st.lists(FRAGMENTS, max_size=9).map("".join)
TAGS = st.sampled_from(
    ["<style>", "<style type='text/css'>", "<STYLE>", '<style title="a>b">', "<style\n>", "<style/>"]
)
ENDS = st.sampled_from(["</style>", "</STYLE>", "</style >", ""])
PIECES = st.sampled_from(
    [
        *(
            "<p>",
            "</p>",
            "<p class=a>",
            "<p style='color:red'>",
            "<br/>",
            "<b title='>'>",
            "</b>",
            "<table>",
            "<td>",
            "x",
        ),
        *(
            "<!-- <p> -->",
            "<!--",
            "<![if mso]>",
            "<",
            "< p>",
            "<a",
            "<p a=b'>",
            "&lt;",
            "<svg>",
            "<textarea><p></textarea>",
        ),
        *(
            '<p style="color:red;content:\'">',
            "<p style='\"'>",
            "<p style>",
            "<p =x>",
            "</",
            "<body>",
            "<html>",
            "<pre>\n",
        ),
    ]
)


def page(styles: str, body: str = "<p>a</p><p>b</p>") -> str:
    """Build a document with this head."""
    return f"<!DOCTYPE html><html><head>{styles}</head><body>{body}</body></html>"


def moved(css: str, body: str) -> str:
    """The styles in the head and the body after inlining."""
    return inline_styles(page(f"<style>{css}</style>", body)).partition("<head>")[2].partition("</body>")[0]


@pytest.mark.parametrize(
    "css",
    [
        "",
        "\n  @media (max-width: 520px) {\n    .page { padding: 16px 8px !important; }\n  }\n",
        "@media (prefers-color-scheme: dark) { p { color: red } } @MEDIA print{p{color:red}}",
        "/* phones: p { } */ @media screen and (max-width: 9px) { u + .body p { color: red; } }",
        "@media screen { [class='a'] p { color: red } }",
        ".ExternalClass { width: 100% } [data-ogsc] .x { color: red } u + #body a { color: red }",
        "a:hover { color: red } p::before { content: 'x' } ::selection { color: red }",
    ],
)
def test_a_mail_in_which_nothing_moves_is_left_as_it_is(css: str) -> None:
    """Without rules to inline no byte of the mail changes."""
    html = page(f'<style type="text/css">{css}</style>')
    assert inline_styles(html) == html


@pytest.mark.parametrize(
    "styles",
    [
        "<style>p{color:red}</style>",
        "<style>@media x{p{font:blue}} p{color:red}</style>",
        "<style>@media x{p{font:blue}}</style><style>p{color:red}</style>",
        "<STYLE>p{color:red}</STYLE>",
        "<style>@media x{a:after{content:'{'}} p{color:red} @media y{a:after{content:'}'}}</style>",
        "<style>@media x{a:after{content:'/*'}} p{color:red} @media y{a:after{content:'*/'}}</style>",
        "<style>@media x{a{background:url({)}} p{color:red} @media y{a{background:url(})}}</style>",
        "<style>@media x{a:after{content:\\{}} p{color:red} @media y{a:after{content:\\}}}</style>",
        "<style>@media x;p{color:red}</style>",
        "<style>@supports (color:red){p{color:blue !important}} p{color:red}</style>",
        '<style class="a>b">p{color:red}</style>',
        "<style media=screen>p{color:red}</style>",
        "<style media=' ALL '>p{color:red}</style>",
        "<style>p{color:red !important}</style>",
    ],
)
def test_a_rule_of_its_own_is_inlined(styles: str) -> None:
    """A rule among media rules is inlined, too."""
    assert '<p style="color:red">' in inline_styles(page(styles))


@pytest.mark.parametrize(
    "attributes",
    [
        'media="only screen and (max-width: 480px)"',
        "media=print",
        "media='(prefers-color-scheme: dark)'",
        "MEDIA='Print'",
        'media="not all"',
        'media="screen, print"',
        "type=text/less",
    ],
)
def test_styles_for_some_screens_stay(attributes: str) -> None:
    """A `<style>` with a media condition keeps its tag."""
    html = page(f"<style {attributes}>p {{ display: none }}</style>")
    assert inline_styles(html) == html


@pytest.mark.parametrize("begin", ["<!--[if !mso]><!-->", "<![if !mso]>", "<!--[if !mso]> -->"])
def test_styles_that_outlook_is_not_to_see_stay(begin: str) -> None:
    """Styles in a conditional comment stay in it."""
    html = page(f"{begin}<style>p {{ color: red }}</style><!--<![endif]-->")
    assert inline_styles(html) == html
    after = page(f"{begin}<style>a {{ color: red }}</style><!--<![endif]--><style>p{{color:red}}</style>")
    assert '<p style="color:red">' in inline_styles(after)


@pytest.mark.parametrize(
    ("css", "body", "style", "remaining"),
    [
        (  # important no longer keeps a media rule from winning
            "h1{color:#111 !important}@media x{h1{color:#eee !important}}",
            "<h1>x</h1>",
            "color:#111",
            "@media x{h1{color:#eee !important}}",
        ),
        (  # a media rule that won by order has to be important
            "h1{color:#111}@media x{h1{color:#eee}}",
            "<h1>x</h1>",
            "color:#111",
            "@media x{h1{color:#eee !important}}",
        ),
        (  # one that lost is left alone
            "@media x{h1{color:#eee}}h1{color:#111}",
            "<h1>x</h1>",
            "color:#111",
            "@media x{h1{color:#eee}}",
        ),
        (  # what beats it stays beside it
            "h1{color:#111}.a{color:#222}@media x{h1{color:#eee}}",
            "<h1 class=a>x</h1>",
            "color:#222",
            ".a{color:#222 !important}\n@media x{h1{color:#eee !important}}",
        ),
        (  # an author's own style wins over media rules, as it did
            "h1{color:#111}@media x{h1{color:#eee}}",
            "<h1 style='color:red'>x</h1>",
            "color:#111;color:red !important",
            "@media x{h1{color:#eee !important}}",
        ),
        (  # important beats an author's own style
            "h1{color:#111 !important}",
            "<h1 style='color:red'>x</h1>",
            "color:red;color:#111",
            "",
        ),
        ("h1{margin-top:9px}h1{margin:0}", "<h1>x</h1>", "margin-top:9px;margin:0", ""),
        ("h1{background:red;background:new(1)}", "<h1>x</h1>", "background:red;background:new(1)", ""),
        ("a{color:#111}a:hover{color:#222}", "<a>x</a>", "color:#111", "a:hover{color:#222 !important}"),
        ("a, a:hover{color:#111}", "<a>x</a>", "color:#111", "a:hover{color:#111 !important}"),
        ("p{color:#111}[data-x] p{color:#222}", "<p>x</p>", "color:#111", "[data-x] p{color:#222 !important}"),
        ("td{color:#111}tbody{color:#222}", "<table><td>x</td></table>", "color:#111", "tbody{color:#222}"),
        ("P.A{COLOR:RED}", "<p class=A>x</p>", "color:RED", ""),
        ('p{font-family:"A B",c}', "<p>x</p>", "font-family:'A B',c", ""),
        ('p{content:"it\'s"}', "<p>x</p>", "content:&quot;it's&quot;", ""),
    ],
)
def test_who_wins_stays_who_wins(css: str, body: str, style: str, remaining: str) -> None:
    """A moved rule keeps its precedence relative to the rules that stay."""
    head, _, tail = moved(css, body).partition("</head>")
    assert re.sub(r"\s*([{;:}])\s*", r"\1", head) == (
        f"<style>{remaining}</style>".replace("\n", "") if remaining else ""
    )
    assert f' style="{style}"' in tail


@pytest.mark.parametrize(
    ("css", "reason"),
    [
        ("@layer a { p { color: red } } p { color: blue }", "there is an @layer; no rule is moved"),
        ("p { all: unset } p { color: blue }", "a rule sets all properties at once; no rule is moved"),
        ("[style] { color: red } p { color: blue }", "a rule asks for the style attribute; no rule is moved"),
        (":is(p) { color: red }", "its selector or what stands in it is not understood"),
        (
            "@media x{p{color:red}} #i{color:blue} p{color:green !important} @media x{#i{color:red}}",
            "moving color would change which rule wins",
        ),
        ("@keyframes k { to { color: red } } p { color: blue }", "moving color would change which rule wins"),
    ],
)
def test_what_cannot_be_moved_is_told(css: str, reason: str) -> None:
    """A rule that cannot be inlined stays and is reported with its place."""
    html = page(f"<style>{css}</style>", "<p id=i class=a>x</p>")
    assert reason in {rule.reason for rule in find_unmoved_rules(html)}
    assert inline_styles(html) == html


def test_what_is_told_has_its_place() -> None:
    """The reported offset is the rule's place in the mail."""
    html = page("<style>\n a{}</style>\n<style>\n\np { color: red }\n\t:is(p) { color: red }</style>")
    assert [html[rule.offset :][:5] for rule in find_unmoved_rules(html)] == ["p { c", ":is(p"]


@pytest.mark.parametrize(
    "html",
    [
        f"{XHTML}<style>p{{color:red}}</style><p>&nbsp;&#847;&copy; <br/><IMG src=a.png alt='<x>'></p>",
        "<style>p{color:red}</style><!--[if mso]><style>p { color: blue }</style><![endif]--><p>x<![if !mso]>y",
        "<style>p{color:red}</style><pre>\n\n x</pre><textarea>\n\n<p></textarea><p>x",
        "<style>p{color:red}</style><v:rect href='x'><o:p/></v:rect><p>x</p>",
    ],
)
def test_nothing_else_is_written_anew(html: str) -> None:
    """Document type, comments, references, white space and odd tags are unchanged byte for byte."""
    expected = html.replace("<style>p{color:red}</style>", "").replace("<p>", '<p style="color:red">')
    assert inline_styles(html) == expected.replace('<p style="color:red"></textarea>', "<p></textarea>")


def test_a_style_attribute_that_is_broken_harms_nothing() -> None:
    """A mail with `style="color: red; foo"` is rendered; it failed in an earlier release."""
    assert moved("p{margin:0}", '<p style="color: red; foo">x</p>').endswith(
        '<p style="margin:0;color: red; foo">x</p>'
    )


@pytest.mark.parametrize("deep", ["<style>p" + "{" * 5000 + "</style>", f"<p style='width:{'(' * 5000}'>"])
def test_brackets_without_end_harm_nothing(deep: str) -> None:
    """A mail with thousands of open brackets is unchanged."""
    html = page("<style>p { color: red }</style>", deep)
    assert inline_styles(html) == html


@SEARCH
@given(st.lists(st.tuples(TAGS, CSS, ENDS), min_size=1, max_size=3), st.lists(PIECES, max_size=8).map("".join))
def test_only_styles_change(styles: list[tuple[str, str, str]], body: str) -> None:
    """For random CSS and tags the mail without its styles is the same before and after."""
    html = page("".join("".join(parts) for parts in styles), body)
    assert _bare(inline_styles(html)) == _bare(html)


def _bare(html: str) -> str:
    html = re.sub(r"<style\b[^>]*>.*?</style\s*>|<style\b.*", "", html, flags=re.IGNORECASE | re.DOTALL)
    return re.sub(r"""\s*\bstyle(?:=(?:"[^"]*"|'[^']*'))?(?=[\s>/])|\s+(?=>)""", "", html)


@SEARCH
@given(CSS, st.lists(PIECES, max_size=8).map("".join))
def test_the_same_mail_comes_out_the_same(css: str, body: str) -> None:
    """The result does not depend on earlier mails."""
    html = page(f"<style>{css} p{{margin:0}}</style>", body)
    first = inline_styles(html)
    inline_styles(html.replace("x", "y").replace("title", "class"))
    assert inline_styles(html) == first


def test_two_styles_of_one_tag_harm_nothing() -> None:
    """A tag with two style attributes is no error."""
    html = page("<style>p { color: red }</style>", "<p style='margin: 0' STYLE='margin; 1px'>x</p>")
    assert inline_styles(html) == html


def test_a_large_picture_in_the_mail_is_not_remembered() -> None:
    """A tag with megabytes of data is not cached."""
    picture = f"<img src='data:{'A' * 100_000}' class=a>"
    assert moved(".a{margin:0}", picture).endswith(picture.replace(">", ' style="margin:0">'))
