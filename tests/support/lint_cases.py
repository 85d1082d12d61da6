"""For each lint rule a source that raises it, and a similar one that does not."""

from typing import Any, NamedTuple

from notifier.template_language.template_source import TemplateSettings, TemplateSource

PAGE = """<html lang="en"><head><title>Hello</title><style>
STYLE
</style></head><body><div style="display: none">Soon</div>
BODY
</body></html>"""
STYLE, BODY = 2, 4
"""The line at which each of them begins."""


def build_lint_source(body: str = "", style: str = "", **more: Any) -> TemplateSource:
    """Build a source without faults, except in the arguments."""
    page = more.pop("page", PAGE).replace("STYLE", style).replace("BODY", body)
    files = {"subject.txt": more.pop("subject", "Hello"), "body.html": page, "body.txt": more.pop("text", "Hello")}
    files |= more.pop("files", {})
    sample = more.pop("sample", {})
    return TemplateSource(files=files, sample=sample, settings=TemplateSettings(name="A", **more))


class Case(NamedTuple):
    """The code of a rule, a source that raises it with the place, and a similar source that does not."""

    code: str
    bad: dict[str, Any]
    line: int | None
    good: dict[str, Any]
    file: str = "body.html"


def build_html_case(code: str, bad: str, good: str, *, line: int = BODY, **more: Any) -> Case:
    """Build a case in the body of the HTML."""
    return Case(code, {"body": bad, **more}, line, {"body": good, **more})


def build_css_case(code: str, bad: str, good: str, *, line: int = STYLE) -> Case:
    """Build a case in the style element of the HTML."""
    return Case(code, {"style": bad}, line, {"style": good})


IMAGE = '<img src="https://a.example/b.png" alt="B" width="10">'
URL = {"url": "https://a.example/"}
WAY_OUT = {"unsubscribe_url": "https://a.example/out"}
LINK_OUT = '<a href="{{ unsubscribe_url }}">Leave</a>'
MARKETING: dict[str, Any] = {"category": "marketing", "sample": WAY_OUT, "text": "Hello {{ unsubscribe_url }}"}

CASES = [
    build_html_case(
        "undefined_variable",
        "x\n{% if not a %}{{ b }}{% endif %}",
        "{{ a }}{{ b | default(1) }}",
        line=BODY + 1,
        sample={"a": 1},
    ),
    Case("unused_variable", {"sample": {"a": 1}}, None, {"sample": {"a": 1}, "body": "{{ a }}"}, "sample.json"),
    build_html_case("raw_value", "x\n{{ a }}", "{% if a %}yes{% endif %}", line=BODY + 1, sample={"a": True}),
    build_html_case("raw_value", "x\n{{ a }}", "{{ a | join }}", line=BODY + 1, sample={"a": ["b"]}),
    build_html_case(
        "raw_value", '\n<b title="{{ a.b }}">x</b>', "{{ a.b.c }}", line=BODY + 1, sample={"a": {"b": {"c": 1}}}
    ),
    Case(
        "unmatched_path",
        {"optional": ("b",)},
        None,
        {"optional": ("a",), "sample": {"a": 1}, "text": "{% if a is defined %}{{ a }}{% endif %}"},
        "template.toml",
    ),
    build_html_case("unclosed_tag", "<p>\n<b>x", "<ul><li>x<li>y</ul><p>z<table><tr><td>x</table><br>", line=BODY + 1),
    build_html_case(
        "unclosed_tag",
        "x\n<!-- y",
        "<!--[if mso]><table><o:p><![endif]--><!--[if !mso]><!--><b>x</b><!--<![endif]-->",
        line=BODY + 1,
    ),
    build_html_case(
        "unclosed_tag",
        "<div><table><tr><td>\n<span>x</td></tr></table></div>",
        "<svg><path/></svg><v:rect/>",
        line=BODY + 1,
    ),
    build_html_case("stray_closing_tag", "<p>x\n<div>y</div>\n</p>", "<p>x</p><div>y</div>", line=BODY + 2),
    build_html_case("wrong_nesting", "<b><i>x</b>\n</i>", "<b><i>x</i></b>", line=BODY + 1),
    build_html_case("wrong_nesting", "\n" + "<b>" * 501 + "</b>" * 501, "<b>" * 400 + "</b>" * 400, line=BODY + 1),
    build_html_case("broken_tag", '\n<b class="x>y</b><b class="z">y</b>', '<b class="x > y">y < z</b>', line=BODY + 1),
    build_html_case("broken_tag", "x\n<br", "x<br>", line=BODY + 1, page=PAGE.removesuffix("\n</body></html>")),
    build_html_case("duplicate_attribute", '<b\nid="x"\nid="y">z</b>', '<b id="x" class="y">z</b>', line=BODY + 2),
    build_html_case(
        "unquoted_variable", "<a\nhref={{ url }}>x</a>", '<a class=x href="{{ url }}">x</a>', line=BODY + 1, sample=URL
    ),
    build_html_case(
        "unquoted_variable", "<b\nclass=x{{ url[0] }}>x</b>", "<b class=x>{{ url[0] }}</b>", line=BODY + 1, sample=URL
    ),
    *(
        build_html_case("forbidden_element", f"x\n<{name}>x</{name}>", "<p>x</p>", line=BODY + 1)
        for name in ("script", "form", "iframe", "object")
    ),
    build_html_case("event_attribute", '<b\nonClick="x()">y</b>', '<b class="onclick">y</b>', line=BODY + 1),
    Case("missing_lang", {"page": PAGE.replace(' lang="en"', "")}, 1, {}),
    Case("missing_title", {"page": PAGE.replace("<title>Hello</title>", "\n<title> </title>")}, 1, {}),
    Case("missing_preheader", {"page": PAGE.replace("display: none", "color: red")}, 3, {}),
    Case("missing_preheader", {"page": PAGE.replace("Soon", "&nbsp;&#847;")}, 3, {}),
    Case(
        "missing_preheader",
        {"page": PAGE.replace(' style="display: none"', ' class="p"')},
        3,
        {"page": PAGE.replace(' style="display: none"', ' class="p"'), "style": ".p { display: none; }"},
    ),
    Case("large_html", {"body": "x" * 91 * 1024}, None, {"body": "x" * 89 * 1024}),
    Case(
        "large_style",
        {"style": "@media print { " + "p { color: #123456 } " * 450 + "}"},
        None,
        {"style": "p { color: #123456 } " * 450, "body": "<p>x</p>"},
    ),
    build_html_case(
        "dangerous_link", '<a\nhref=" FI\tLE:///x">y</a>', '<a href="mailto:a@b.example">y</a>', line=BODY + 1
    ),
    build_html_case(
        "relative_link", '<a\nhref="www.a.example">y</a>', '<a href="#x">y</a><a href="tel:+1">z</a>', line=BODY + 1
    ),
    build_html_case("relative_link", IMAGE.replace("https:", ""), IMAGE.replace("https://", "cid:")),
    build_html_case("empty_link", '<a\nhref="#">y</a>', '<a name="x">y</a>', line=BODY + 1),
    build_html_case("empty_link", IMAGE.replace('src="https://a.example/b.png"', ""), IMAGE),
    build_html_case(
        "insecure_link", '<a\nhref="HTTP://a.example">y</a>', '<a href="https://a.example">y</a>', line=BODY + 1
    ),
    Case(
        "insecure_link",
        {"body": '<a href="{{ url }}">y</a>', "sample": {"url": "http://a.example"}},
        None,
        {"body": '<a href="{{ url }}">y</a>', "sample": URL},
        "sample.json",
    ),
    build_html_case(
        "vague_link",
        'x\n<a href="https://a.example"><b>Click</b>\nhere …</a>'.replace(" …", "."),
        '<a href="https://a.example">Click here to pay</a>',
        line=BODY + 1,
    ),
    build_html_case(
        "image_without_alt", "\n" + IMAGE.replace('alt="B"', ""), IMAGE.replace('alt="B"', 'alt=""'), line=BODY + 1
    ),
    build_html_case(
        "image_without_width", "\n" + IMAGE.replace(' width="10"', ' style="width: 10px"'), IMAGE, line=BODY + 1
    ),
    build_html_case("data_image", IMAGE.replace("https://a.example/b.png", "data:image/png;base64,AAAA"), IMAGE),
    Case(
        "external_stylesheet",
        {"page": PAGE.replace("<style>", '\n<link rel="stylesheet" href="https://a.example/a.css"><style>')},
        2,
        {"page": PAGE.replace("<style>", '<link rel="icon" href="https://a.example/a.png"><style>')},
    ),
    build_css_case(
        "css_import",
        "a { color: red }\n@import url(https://a.example/a.css);",
        "@media print { a { color: red } }",
        line=STYLE + 1,
    ),
    build_css_case(
        "web_font",
        "\n@font-face { font-family: X; src: url(https://a.example/x) }",
        "a { font-family: X }",
        line=STYLE + 1,
    ),
    *(
        build_css_case(
            "ignored_css",
            f"a {{ color: red;\n  {bad} }}",
            f"a {{ {good} }} @media screen {{ a {{ {bad} }} }}",
            line=STYLE + 1,
        )
        for bad, good in (
            ("position: relative", "position: static"),
            ("float: left", "float: none"),
            ("display: flex", "display: block"),
            ("display: grid", "display: inline-block"),
            ("width: calc(100% - 2px)", "width: 100%"),
            ("color: var(--x)", "color: red"),
            ("--x: red", "color: red"),
            ("margin: 0 -4px", "margin: 0 4px; letter-spacing: -1px; mso-line-height-rule: exactly"),
            ("transform: rotate(3deg)", "text-transform: uppercase"),
        )
    ),
    build_html_case(
        "ignored_css", '<p\nstyle="color: red;\nposition: fixed">x</p>', '<p style="color: red">x</p>', line=BODY + 2
    ),
    build_css_case(
        "lost_rule",
        "a { color: red }\nb:is(b, i) { color: blue }",
        "td:first-child { color: red } a:hover { color: red } p::before { color: red } .ExternalClass { color: red }",
        line=STYLE + 1,
    ),
    build_css_case(
        "background_without_colour",
        "b { color: red;\nbackground: url(https://a.example/x) }",
        "a { background: #eee url(https://a.example/x) }"
        "b { background-image: url('https://a.example/x'); background-color: red }",
        line=STYLE + 1,
    ),
    build_html_case(
        "background_without_colour",
        "<table>\n<td style=\"background-image: url('https://a.example/x')\">x</table>",
        '<table>\n<td bgcolor="#eee" style="background-image: url(\'https://a.example/x\')">x</table>',
        line=BODY + 1,
    ),
    Case("long_subject", {"subject": "x" * 79}, None, {"subject": "x" * 78}, "subject.txt"),
    Case(
        "empty_subject",
        {"subject": "{% if a is defined %}{{ a }}{% endif %}", "sample": {"a": "x"}, "optional": ("a",)},
        None,
        {"subject": "{{ a }}", "sample": {"a": "x"}},
        "subject.txt",
    ),
    Case(
        "braces_left",
        {"subject": "{# which order #}Hello {name}"},
        1,
        {"subject": "Hello {{ a }}", "sample": {"a": "{"}},
        "subject.txt",
    ),
    build_html_case(
        "braces_left", "{{ a }}\nHello {name}", "Hello {{ a }}, {1} {", line=BODY + 1, sample={"a": "{name}"}
    ),
    Case("braces_left", {"text": "Hello\n{ order.id }"}, 2, {"text": "Hello {}"}, "body.txt"),
    Case("long_text_line", {"text": "x\n" + "x" * 999}, 2, {"text": "x\n" + "x" * 998}, "body.txt"),
    Case(
        "markup_in_text",
        {"text": "Hello\n<b>x</b>"},
        2,
        {"text": "x < y <https://a.example> {{ a }}", "sample": {"a": "<b>"}},
        "body.txt",
    ),
    Case(
        "wrong_mailbox",
        {"from_": "Shop <shop>"},
        None,
        {"from_": "Shop <a@b.example>", "reply_to": "c@d.example"},
        "template.toml",
    ),
    Case("unsubscribe_not_asked", {"category": "marketing"}, None, {}, "sample.json"),
    Case(
        "unsubscribe_not_asked",
        {**MARKETING, "sample": {"unsubscribe_url": "mailto:a@b.example"}, "body": LINK_OUT},
        None,
        {**MARKETING, "body": LINK_OUT},
        "sample.json",
    ),
    Case(
        "unsubscribe_not_shown", {**MARKETING, "body": "{{ unsubscribe_url }}"}, None, {**MARKETING, "body": LINK_OUT}
    ),
    Case(
        "unsubscribe_not_shown",
        {**MARKETING, "body": LINK_OUT, "text": "Hello"},
        None,
        {**MARKETING, "body": LINK_OUT},
        "body.txt",
    ),
]
