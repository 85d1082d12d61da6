"""Escaping by context: links, styles, unquoted attributes, and places where no value may be."""

import pytest

from notifier.template_language.contextual_escaping import ForbiddenTemplateError
from notifier.template_language.filters import ValueRefusedError
from notifier.template_language.sandbox import create_environment, render_limited

SCRIPT = "javascript:alert(1)"


def render(text: str, value: str = SCRIPT, *, strict: bool = False) -> str:
    """Render the text as an HTML part with the variable `u`."""
    return render_limited(
        create_environment({"part": text}, autoescape=True, strict=strict).get_template("part"), {"u": value}
    )


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ('<a href="{{ u }}">', '<a href="#">'),
        ("<A HREF = '{{ u }}'>", "<A HREF = '#'>"),
        ("<a href={{ u }}>", "<a href=&#35;>"),
        ('<form action="{{ u }}"><button formaction="{{ u }}">', '<form action="#"><button formaction="#">'),
        ('<img src="{{ u }}"><td background="{{ u }}">', '<img src="#"><td background="#">'),
        ('<a href="{{ u }}/x">', '<a href="#/x">'),
        ('<a href="{{ u[:10] }}://x">', '<a href="#://x">'),
        ('<a href="{{ u[:4] }}{{ u[4:] }}">', '<a href="#script:alert(1)">'),
        ('<a href="java{{ u[4:] }}">', '<a href="java#">'),
        ('<a href="{% if u %}{{ u }}{% else %}x{% endif %}">', '<a href="#">'),
        ('<!--[if mso]><a href="{{ u }}"><![endif]-->', '<!--[if mso]><a href="#"><![endif]-->'),
        ('{% macro m(x) %}<a href="{{ x }}">{% endmacro %}{{ m(u) }}', '<a href="#">'),
        ('{% set k %}{{ u }}{% endset %}<a href="{{ k }}">', '<a href="#">'),
        ('<a href="https://x/?u={{ u }}&{{ u }}">', f'<a href="https://x/?u={SCRIPT}&{SCRIPT}">'),
        ('<a href="mailto:{{ u }}"><a href="tel:{{ u }}">', f'<a href="mailto:{SCRIPT}"><a href="tel:{SCRIPT}">'),
        (
            '<p style="color:{{ u }}"><style>p { color: {{ u }} }</style>',
            '<p style="color:"><style>p { color:  }</style>',
        ),
        ("<p title={{ u }}>{{ u }}", f"<p title=javascript&#58;alert&#40;1&#41;>{SCRIPT}"),
        ("<title>{{ u }}</title><!-- {{ u }} --><b>", f"<title>{SCRIPT}</title><!-- {SCRIPT} --><b>"),
        ("<td{% if u %} class='x'{% endif %}>{{ u }}", f"<td class='x'>{SCRIPT}"),
        ("a < {{ u }} > b", f"a < {SCRIPT} > b"),
    ],
)
def test_a_value_is_guarded_where_it_acts(text: str, html: str) -> None:
    """Script links are removed, a style value stays one value, an attribute cannot be left."""
    assert render(text) == html


@pytest.mark.parametrize(
    ("value", "link", "image"),
    [
        ("https://x.example/?a=1:2", True, True),
        ("HTTP://x.example", True, True),
        (" https://x.example", True, True),
        ("mailto:a@b.example", True, False),
        ("cid:logo", False, True),
        ("/orders/1", True, True),
        ("orders/1", True, True),
        ("#top", True, True),
        ("", True, True),
        ("tel:112", True, False),
        ("data:text/html,x", False, False),
        ("\tjavascript:x", False, False),
        ("java\nscript:x", False, False),
        ("\x01javascript:x", False, False),
        (":x", False, False),
        ("file:///etc/passwd", False, False),
    ],
)
def test_only_some_links_live(value: str, link: bool, image: bool) -> None:  # noqa: FBT001 - a table
    """Links allow http, https and mailto, images http, https and cid; relative ones are unchanged."""
    lives = [render(f'<{tag}="{{{{ u }}}}">', value) != f'<{tag}="#">' for tag in ("a href", "img src")]
    assert lives == [link, image]


def test_a_check_tells_what_a_mail_would_defuse() -> None:
    """The check reports dangerous values of the sample; in a mail they are made harmless."""
    for text in ('<a href="{{ u }}">', '<p style="color:{{ u }}">', "{{ u | safe_url }}"):
        with pytest.raises(ValueRefusedError, match="cannot take this text"):
            render(text, strict=True)
    assert render("{{ u | safe_url }}") == "#"


@pytest.mark.parametrize(
    "text",
    [
        "<{{ u }}>",
        "<h{{ u }}>",
        "<a {{ u }}>",
        "<a {{ u }}='x'>",
        "<a data-{{ u }}='x'>",
        "<a onclick='{{ u }}'>",
        "<iframe srcdoc='{{ u }}'>",
        "<script>{{ u }}</script>",
        '<a href="javascript:{{ u }}">',
        '<a href="java&#115;cript:x">',
        '<a href="data:text/html,{{ u }}">',
        '<a href="{% block b %}{{ u }}{% endblock %}">',
        '<a href="{% include "part" %}">',
        "{% macro m() %}{{ caller() }}{% endmacro %}<a href='{% call m() %}{{ u }}{% endcall %}'>",
        "<td{% if u %} class='{% endif %}>",
        "{% for x in u %}<a href='{% endfor %}{{ u }}",
        "{% autoescape false %}{{ u }}{% endautoescape %}",
    ],
)
def test_some_places_are_refused(text: str) -> None:
    """A value in a tag name, script or event handler is refused when the template is compiled."""
    with pytest.raises(ForbiddenTemplateError):
        render(text)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_block_is_guarded_where_its_layout_has_it(depth: int) -> None:
    """A block inside a layout's `<style>` is escaped as CSS, at any depth of layouts."""
    layout = "<style>{% block styles %}{% endblock %}</style><p>{% block text %}{% endblock %}"
    middle = '{% extends "layout" %}{% block text %}{{ super() }}{% endblock %}'
    above = {"layout": layout, "middle": middle}
    child = "{% block styles %}p { color: {{ u }} }{% endblock %}{% block text %}{{ u }}{% endblock %}"
    files = above | {"child": f'{{% extends "{["layout", "middle"][depth - 1]}" %}}{child}'}
    for value, styled in (("#a1b2c3", "#a1b2c3"), ("red}body{display:none", "")):
        made = render_limited(
            create_environment(files, autoescape=True, strict=False).get_template("child"), {"u": value}
        )
        assert made == f"<style>p {{ color: {styled} }}</style><p>{value}"


@pytest.mark.parametrize(
    "text", ["p { color: {{ u }} }", '{% include "plain" %}', "{% set k %}{{ u }}{% endset %}{{ k }}"]
)
def test_a_file_with_values_is_not_included_in_a_style(text: str) -> None:
    """An include inside `<style>` is refused if the file has values, and allowed if it is plain text."""
    files = {"looks": text, "plain": "p { color: red }"}
    page = "<style>{{% include {} %}}</style>"
    for name in ('"looks"', '["looks", "plain"]', "u"):
        with pytest.raises(ForbiddenTemplateError):
            create_environment(files | {"part": page.format(name)}, autoescape=True).get_template("part")
    part = create_environment(files | {"part": page.format('"plain"')}, autoescape=True).get_template("part")
    assert render_limited(part, {}) == "<style>p { color: red }</style>"


def test_what_extends_itself_is_told_by_whoever_renders_it() -> None:
    """A template that extends itself does not make the search for blocks endless."""
    files = {"a": '{% extends "b" %}{% block x %}{{ u }}{% endblock %}', "b": '{% extends "a" %}'}
    with pytest.raises(RecursionError):
        render_limited(create_environment(files, autoescape=True).get_template("a"), {"u": "x"})


CALL = "{% macro m() %}{{ caller() }}{% endmacro %}"
AROUND = {
    "a call in a style": CALL + "<style>p { color: {% call m() %}{{ u }}{% endcall %} }</style>",
    "a filter in a link": '<a href="{% filter lower %}{{ u }}{% endfilter %}">',
    "a filter that cuts a link": '<a href="{% filter right(19) %}https://x/{{ u }}{% endfilter %}">',
    "a filter around a link": '{% filter right(40) %}<a href="https://x/{{ u }}">x</a>{% endfilter %}',
    "a filter in a style": "<style>{% filter upper %}p { color: {{ u }} }{% endfilter %}</style>",
    "an animation": '<svg><a><set attributeName="href" to="{{ u }}"/></a></svg>',
    "values of an animation": '<svg><a><animate attributeName="xlink:href" values="#;{{ u }}"/></a></svg>',
    "an animation of ours": '<svg><a><set attributeName="href" to="#;javascript:x"/></a></svg>',
    "a redirect": '<meta http-equiv=" Refresh" content="0;url={{ u }}">',
    "a redirect in characters": '<meta http-equiv="&#114;efresh" content="0">',
    "the kind of a meta": '<meta http-equiv="{{ u }}" content="0;url=x">',
    "the second address": '<img srcset="https://x/a 1x, javascript:x 2x">',
    "a page in a frame": '<iframe src="data:text/html,{{ u }}">',
    "a title in a picture": "<svg><title><style>{{ u }}</style></title></svg>",
    "a script in a script": "<script><!-- <script></script> {{ u }} --></script>",
    "a macro that opens a style": "{% macro m() %}<style>p { color: {% endmacro %}{{ m() }}{{ u }}",
    "a variable that opens a link": '{% set k %}<a href="{% endset %}{{ k }}{{ u }}">',
    "a block that opens a style": "{% block b %}<style>p { color: {% endblock %}{{ u }}</style>",
    "blocks of one name": "<style>{% block fin %}p {}{% endblock %}</style>{% block ﬁn %}{{ u }}{% endblock %}",
    "variables of one name": "{% set ﬁn = 1 %}{{ fin }}",
}


@pytest.mark.parametrize("name", AROUND)
def test_what_would_get_round_a_guard_is_refused(name: str) -> None:
    """Anything that hides a value's context is refused when saved, with advice."""
    with pytest.raises(ForbiddenTemplateError) as refused:
        render(AROUND[name])
    assert refused.value.message
    assert refused.value.advice


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ('<img srcset="https://x/a 1x, {{ u }} 2x">', '<img srcset="https://x/a 1x, # 2x">'),
        ('<img srcset="https://x/a,https://x/b 1x,{{ u }} 2x">', '<img srcset="https://x/a,https://x/b 1x,# 2x">'),
        ('<img srcset="https://x/a, {{ u }} 2x">', '<img srcset="https://x/a, # 2x">'),
        ('<img srcset="https://x/a,b/{{ u }} 2x">', f'<img srcset="https://x/a,b/{SCRIPT} 2x">'),
        ('<img srcset="{{ u }} 1x, {{ u }} 2x">', '<img srcset="# 1x, # 2x">'),
        ('<link imagesrcset="{{ u }} 1x">', '<link imagesrcset="# 1x">'),
        ('<a ping="https://x.example {{ u }}">', '<a ping="https://x.example #">'),
        ('<iframe src="{{ u }}">', '<iframe src="#">'),
        ('<param name="movie" value="{{ u }}">', '<param name="movie" value="#">'),
        ('<!--><a href="{{ u }}">', '<!--><a href="#">'),
        ('<!---><a href="{{ u }}">', '<!---><a href="#">'),
        ('<!-- x --!><a href="{{ u }}">', '<!-- x --!><a href="#">'),
        ('<meta name="description" content="{{ u }}">', f'<meta name="description" content="{SCRIPT}">'),
        ("{% filter upper %}{{ u }}{% endfilter %}", SCRIPT.upper()),
    ],
)
def test_the_guard_reads_as_browsers_do(text: str, html: str) -> None:
    """Address lists and odd comments are read as browsers read them."""
    assert render(text) == html


@pytest.mark.parametrize("value", ["https://x/a 1x, javascript:x", "a\tb", ",x", "x,"])
def test_a_value_begins_no_other_address(value: str) -> None:
    """A value inside an address list such as `srcset` cannot add another address."""
    text = '<img srcset="https://x/{{ u }} 2x">'
    assert render(text, value) == '<img srcset="https://x/ 2x">'
    with pytest.raises(ValueRefusedError):
        render(text, value, strict=True)


@pytest.mark.parametrize("opened", ["<style>p { color: ", "<!-- ", "<p", '<a href="https://x', "<script>"])
@pytest.mark.parametrize("named", ['"open"', '["none", "open"]', "u"])
def test_an_included_file_ends_where_it_began(opened: str, named: str) -> None:
    """An included file must end in the context in which it began, for any file it may be."""
    files = {"open": f"<p>x</p>{opened}", "part": f"{{% include {named} %}}{{{{ u }}}}"}
    with pytest.raises(ForbiddenTemplateError, match="leaves something open"):
        create_environment(files, autoescape=True).get_template("part")


@pytest.mark.parametrize("opened", ["<style>p { color: ", "<!-- ", "<p", '<a href="https://x'])
def test_a_block_ends_where_its_layout_has_it(opened: str) -> None:
    """A block must end in the context of its layout."""
    files = {
        "layout": "{% block text %}{% endblock %}{{ u }}",
        "part": f'{{% extends "layout" %}}{{% block text %}}{opened}{{% endblock %}}',
    }
    with pytest.raises(ForbiddenTemplateError, match="leaves something open"):
        create_environment(files, autoescape=True).get_template("part")
