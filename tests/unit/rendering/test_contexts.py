"""Values where HTML acts on them: links, styles, attributes without quotes; and the places where none may stand."""

import pytest

from notifier.rendering.language.contexts import ForbiddenError
from notifier.rendering.language.filters import ValueRefusedError
from notifier.rendering.language.sandbox import environment, render_limited

SCRIPT = "javascript:alert(1)"


def shown(text: str, value: str = SCRIPT, *, strict: bool = False) -> str:
    """The text as an HTML part, with a value of `u`."""
    return render_limited(
        environment({"part": text}, autoescape=True, strict=strict).get_template("part"), {"u": value}
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
    """A link that would run code is dead, a style is one value, an attribute ends where its author ended it."""
    assert shown(text) == html


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
    """Links lead to http, https and mail; images come from there or with the mail; what has no scheme is left alone."""
    lives = [shown(f'<{tag}="{{{{ u }}}}">', value) != f'<{tag}="#">' for tag in ("a href", "img src")]
    assert lives == [link, image]


def test_a_check_tells_what_a_mail_would_defuse() -> None:
    """Whoever edits a template hears of it; whoever is sent the mail gets one that is harmless."""
    for text in ('<a href="{{ u }}">', '<p style="color:{{ u }}">', "{{ u | safe_url }}"):
        with pytest.raises(ValueRefusedError, match="cannot take this text"):
            shown(text, strict=True)
    assert shown("{{ u | safe_url }}") == "#"


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
    """A value in a tag, a script or a handler, and what hides where a value stands, cannot be compiled."""
    with pytest.raises(ForbiddenError):
        shown(text)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_block_is_guarded_where_its_layout_has_it(depth: int) -> None:
    """A value in the styles of a layout is one value of CSS, however far up the layout is that writes `<style>`."""
    layout = "<style>{% block styles %}{% endblock %}</style><p>{% block text %}{% endblock %}"
    middle = '{% extends "layout" %}{% block text %}{{ super() }}{% endblock %}'
    above = {"layout": layout, "middle": middle}
    child = "{% block styles %}p { color: {{ u }} }{% endblock %}{% block text %}{{ u }}{% endblock %}"
    files = above | {"child": f'{{% extends "{["layout", "middle"][depth - 1]}" %}}{child}'}
    for value, styled in (("#a1b2c3", "#a1b2c3"), ("red}body{display:none", "")):
        made = render_limited(environment(files, autoescape=True, strict=False).get_template("child"), {"u": value})
        assert made == f"<style>p {{ color: {styled} }}</style><p>{value}"


@pytest.mark.parametrize(
    "text", ["p { color: {{ u }} }", '{% include "plain" %}', "{% set k %}{{ u }}{% endset %}{{ k }}"]
)
def test_a_file_with_values_is_not_included_in_a_style(text: str) -> None:
    """It would be guarded as a text of its own; one that is only text is welcome."""
    files = {"looks": text, "plain": "p { color: red }"}
    page = "<style>{{% include {} %}}</style>"
    for name in ('"looks"', '["looks", "plain"]', "u"):
        with pytest.raises(ForbiddenError):
            environment(files | {"part": page.format(name)}, autoescape=True).get_template("part")
    part = environment(files | {"part": page.format('"plain"')}, autoescape=True).get_template("part")
    assert render_limited(part, {}) == "<style>p { color: red }</style>"


def test_what_extends_itself_is_told_by_whoever_renders_it() -> None:
    """Looking for the places of blocks ends."""
    files = {"a": '{% extends "b" %}{% block x %}{{ u }}{% endblock %}', "b": '{% extends "a" %}'}
    with pytest.raises(RecursionError):
        render_limited(environment(files, autoescape=True).get_template("a"), {"u": "x"})
