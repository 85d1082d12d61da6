"""What a template does with a value is asked at submit: a link that leads nowhere, an amount that is none."""

from functools import cache
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from notifier.errors import Fault
from notifier.rendering.check import check
from notifier.rendering.language.faults import PartError
from notifier.rendering.source import TemplateSettings, TemplateSource
from notifier.rendering.usage import variables_of
from notifier.rendering.variables import faults_in
from notifier.rendering.version import CompiledVersion

SEARCH = settings(max_examples=30, deadline=None)
LINK = '<a href="{{ url }}">Open</a>'
ONE_LINK = '<a href="{{ one.url }}">'
URL = "https://shop.example/x"
ARROW = {"url": URL}
FILES = {
    "_layouts/base.html": '<body>{% block main %}{% endblock %}<a href="{{ home }}">Home</a></body>',
    "_layouts/ui.html": '{% macro button(words, url) %}<a href="{{ url }}">{{ words }}</a>{% endmacro %}'
    '{% macro maybe(url) %}{% if url %}<a href="{{ url }}">x</a>{% endif %}{% endmacro %}'
    "{% macro each(list) %}{% for one in list %}{{ caller(one) }}{% endfor %}{% endmacro %}",
    "_layouts/foot.html": '<a href="{{ url }}">Foot</a>',
}


def source(html: str, sample: dict[str, Any], text: str = "t", subject: str = "s", **said: Any) -> TemplateSource:
    """A template with these bodies."""
    files = FILES | {"subject.txt": subject, "body.html": html, "body.txt": text}
    return TemplateSource(files=files, sample=sample, settings=TemplateSettings(name="A", **said))


def faults(template: TemplateSource, values: dict[str, Any]) -> list[Fault]:
    """What submit says about the values."""
    schema = variables_of(template).schema
    jsonschema_rs.meta.validate(schema)
    return faults_in(schema, values)


def refused(template: TemplateSource, values: dict[str, Any]) -> list[str]:
    """The pointers of what submit refuses, with their codes."""
    return [f"{fault.pointer} {fault.code}" for fault in faults(template, values)]


@cache
def _compiled(html: str) -> tuple[dict[str, Any], CompiledVersion]:
    template = source(html, SAMPLE)
    return variables_of(template).schema, CompiledVersion(template)


def tried(html: str, values: dict[str, Any]) -> tuple[bool, bool]:
    """Whether submit takes the values, and whether a mail can be made of them."""
    schema, version = _compiled(html)
    taken = faults_in(schema, values) == []
    try:
        version.render(None, values)
    except PartError:
        return taken, False
    return taken, True


def renders(template: TemplateSource, values: dict[str, Any]) -> bool:
    """Whether a mail can be made of the values."""
    try:
        CompiledVersion(template).render(None, values)
    except PartError:
        return False
    return True


GOOD_LINKS = [
    "https://shop.example/x", "HTTP://SHOP.EXAMPLE", "http://127.0.0.1:8000/?a=1:2#b", "https://münchen.example/ü",
    "https://shop.example/a b?q=\"x'<>&", " https://shop.example ", "https://shop.example\n", "https://a@b.example/",
    "mailto:ada@example.com", "mailto:?subject=x", "tel:+4930123456", "TEL:112", "sms:+49123", "sms:?body=x",
    "https://shop.example/" + "x" * 5000,
]  # fmt: skip
BAD_LINKS = [
    "shopapp://reset?t=1", "webcal://shop.example/c.ics", "whatsapp://send?text=x", "www.shop.example/x",
    "shop.example", "shop.example:80/x", "/reset", "", " ", "\t\n", "//shop.example/x", "#anchor", "?q=1",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:x", "\tjavascript:x", "\x01javascript:x",
    "java\nscript:x", "java\tscript:x", "&#106;avascript:x", "data:text/html,x", "vbscript:x", "file:///etc/passwd",
    "blob:https://x", "https:", "https://", "https:///x", "https://?x", "https:shop.example", "tel:", "mailto: ",
    ":x", "https://shop.\nexample/", "\u00a0https://shop.example", "\u200bhttps://shop.example", "https:\\\\x.example",
    "cid:logo",
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD_LINKS)
def test_a_link_that_somebody_can_follow_is_taken_and_sent(url: str) -> None:
    """https, http, mail, telephone and text messages; blanks around an address are nobody's business."""
    template = source(LINK, ARROW)
    assert faults(template, {"url": url}) == []
    assert 'href="#"' not in CompiledVersion(template).render(None, {"url": url}).html


@pytest.mark.parametrize("url", BAD_LINKS)
def test_a_link_that_nobody_can_follow_is_refused_at_submit_and_not_sent(url: str) -> None:
    """The same value is refused with the pointer of its variable, and makes no mail if it gets that far."""
    template = source(LINK, ARROW)
    (fault,) = faults(template, {"url": url})
    assert (fault.pointer, fault.code) == ("/variables/url", "invalid_link")
    assert "begins with https://, http://, mailto:, tel: or sms:" in fault.detail
    assert len(url.strip()) < len("https:///") or url.strip() not in fault.detail
    assert not renders(template, {"url": url})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "there is none"),
        ("shop.example", "it has no scheme"),
        ("shopapp://x", "its scheme is not one of those"),
        ("https://", "there is no host behind https://"),
        ("https://a\nb", "there is a line break or another control character in it"),
        ("tel:", "there is nothing behind its scheme"),
    ],
)
def test_the_reason_is_told(url: str, reason: str) -> None:
    """What is wrong with the address, beside what would be right."""
    (fault,) = faults(source(LINK, ARROW), {"url": url})
    assert fault.detail.endswith(f"; {reason}.")


DOWN = {"order": {"lines": [{"url": URL, "kind": "web"}], "url": URL}, "url": URL, "home": URL, "note": "n", "on": True}
BAD = {"order": {"lines": [{"url": URL, "kind": "web"}, {"url": "/x", "kind": "web"}], "url": "/x"}} | {
    "url": "/x", "home": "/x", "note": "n", "on": True,
}  # fmt: skip
PLACES = {
    "href": (LINK, ["/url"]),
    "without quotes": ("<a href={{ url }}>x</a>", ["/url"]),
    "action": ('<form action="{{ url }}">x</form>', ["/url"]),
    "image": ('<img src="{{ url }}">', ["/url"]),
    "in an object": ('<a href="{{ order.url }}">', ["/order/url"]),
    "by key": ("<a href='{{ order[\"url\"] }}'>", ["/order/url"]),
    "escaped by hand": ('<a href="{{ url | e }}">', ["/url"]),
    "loop": ('{% for one in order.lines %}<a href="{{ one.url }}">{% endfor %}', ["/order/lines/1/url"]),
    "sorted loop": ('{% for one in order.lines|reverse %}<a href="{{ one.url }}">{% endfor %}', ["/order/lines/1/url"]),
    "last item": ('<a href="{{ (order.lines | last).url }}">', ["/order/lines/1/url"]),
    "filtered loop": (
        '{% for one in order.lines if one.kind == "web" %}<a href="{{ one.url }}">{% endfor %}',
        ["/order/lines/1/url"],
    ),
    "set": ('{% set u = order.url %}<a href="{{ u }}">', ["/order/url"]),
    "set in a block": ('{% set b %}<a href="{{ url }}">{% endset %}{{ b }}', ["/url"]),
    "with": ('{% with u = url %}<a href="{{ u }}">{% endwith %}', ["/url"]),
    "macro": ('{% import "_layouts/ui.html" as ui %}{{ ui.button("x", url) }}', ["/url"]),
    "caller": (
        f'{{% from "_layouts/ui.html" import each %}}{{% call(one) each(order.lines) %}}{ONE_LINK}{{% endcall %}}',
        ["/order/lines/1/url"],
    ),
    "layout": ('{% extends "_layouts/base.html" %}', ["/home"]),
    "block": (
        '{% extends "_layouts/base.html" %}{% block main %}<a href="{{ url }}">{% endblock %}',
        ["/home", "/url"],
    ),
    "include": ('{% include "_layouts/foot.html" %}', ["/url"]),
    "or": ('<a href="{{ url or home }}">', ["/url"]),
    "if expression": ('<a href="{{ url if on else home }}">', ["/url"]),
    "default": ('<a href="{{ url | default("https://shop.example") }}">', ["/url"]),
    "default for what is empty": ('<a href="{{ url | default("https://shop.example", true) }}">', ["/url"]),
    "if": ('{% if on %}<a href="{{ url }}">{% else %}<a href="{{ home }}">{% endif %}', ["/url"]),
    "elif": ('{% if note == "x" %}{% elif on %}<a href="{{ url }}">{% endif %}', ["/url"]),
    "beginning": ('<a href="{{ url }}/path">', ["/url"]),
    "safe_url": ("{{ url | safe_url }}", ["/url"]),
}


@pytest.mark.parametrize(("html", "pointers"), PLACES.values(), ids=PLACES)
def test_a_link_is_found_wherever_a_template_puts_it(html: str, pointers: list[str]) -> None:
    """Straight, through names, loops, macros, layouts, defaults and conditions."""
    assert refused(source(html, DOWN), DOWN) == []
    assert refused(source(html, DOWN), BAD) == [f"/variables{pointer} invalid_link" for pointer in pointers]
    assert not renders(source(html, DOWN), BAD)


FINE = {
    "guarded": '{% if url %}<a href="{{ url }}">{% endif %}',
    "guarded in a macro": '{% import "_layouts/ui.html" as ui %}{{ ui.maybe(url) }}',
    "guarded by another": '{% if on %}<a href="{{ url }}">{% endif %}',
    "guarded by a comparison": '{% if kind != "none" %}<a href="{{ url }}">{% endif %}',
    "guarded by or": '{% if on or kind == "web" %}<a href="{{ url }}">{% endif %}',
    "guarded by not": '{% if not url %}none{% else %}<a href="{{ url }}">{% endif %}',
    "guarded by what nobody knows": '{% if kind | upper == "WEB" %}<a href="{{ url }}">{% endif %}',
    "guarded expression": '<a href="{{ url if url else "https://shop.example" }}">',
    "or": '<a href="{{ url or "https://shop.example" }}">',
    "default for what is empty": '<a href="{{ url | default("https://shop.example", boolean=true) }}">',
    "in an empty list": '{% for one in list %}<a href="{{ url }}">{% endfor %}',
    "beyond what is shown": '{% for one in list[:0] %}<a href="{{ one.url }}">{% endfor %}',
    "a macro that nobody calls": '{% macro m() %}<a href="{{ url }}">{% endmacro %}',
    "a part of an address": '<a href="https://shop.example/{{ url }}"><a href="mailto:{{ url }}">',
    "no link": '<p title="{{ url }}">{{ url }}</p>',
    "a name of the template's own": '{% set url = "https://shop.example" %}<a href="{{ url }}">',
}


@pytest.mark.parametrize("html", FINE.values(), ids=FINE)
def test_what_makes_a_good_mail_is_not_refused(html: str) -> None:
    """An empty value where the template asks first, or where it is no link."""
    sample = {"url": URL, "on": True, "kind": "web", "list": [{"url": URL}]}
    values = {"url": "", "on": False, "kind": "none", "list": []}
    template = source(html, sample)
    assert (refused(template, values), renders(template, values)) == ([], True)


COMPUTED = ['<a href="{{ url ~ "/x" }}">', '<a href="{{ url | trim }}">', '<a href="{{ [url] | first }}">']


@pytest.mark.parametrize("html", COMPUTED)
def test_a_link_that_is_reckoned_out_fails_visibly(html: str) -> None:
    """Submit cannot know; the mail is not sent damaged, and says which line and why."""
    template = source(html, ARROW)
    assert refused(template, {"url": "shop.example"}) == []
    with pytest.raises(PartError, match=r"body.html, line 1.*“href” cannot take this text.*has no scheme"):
        CompiledVersion(template).render(None, {"url": "shop.example"})


def test_a_version_from_before_is_sent_as_it_was() -> None:
    """Nobody was told at submit, so its dead links stay dead and its mails are sent."""
    old = CompiledVersion(replace(source(LINK + '<p style="color: {{ url }}">', ARROW), strict=False))
    assert 'href="#"' in old.render(None, {"url": "shopapp://x"}).html
    assert 'href="/x"' in old.render(None, {"url": "/x"}).html
    assert 'href="tel:1"' in old.render(None, {"url": "tel:1"}).html
    assert 'href="#"' in old.render(None, {"url": "javascript:x"}).html
    schema = {"type": "object", "properties": {"url": {"type": "string"}}}
    assert faults_in(schema, {"url": "javascript:x"}) == []


def test_a_template_may_link_to_other_schemes() -> None:
    """In HTML and text, at submit, at publishing and in the mail."""
    allowed = source(LINK, {"url": "shopapp://x"}, "{{ url | safe_url }}", link_schemes=("shopapp", "webcal"))
    assert check(allowed).faults == []
    assert refused(allowed, {"url": "ShopApp://reset?t=1"}) == []
    assert renders(allowed, {"url": "webcal://shop.example/c.ics"})
    (fault,) = faults(allowed, {"url": "whatsapp://send"})
    assert "tel:, sms:, shopapp: or webcal:" in fault.detail
    assert check(source(LINK, {"url": "shopapp://x"})).faults
    assert refused(source('<img src="{{ url }}">', ARROW, link_schemes=("shopapp",)), {"url": "shopapp:x"})


@pytest.mark.parametrize(("url", "pointers"), [("https://x.example/a.png", []), ("cid:logo", []), ("tel:1", ["/url"])])
def test_images_come_from_the_web_or_with_the_mail(url: str, pointers: list[str]) -> None:
    """http, https and cid."""
    expected = [f"/variables{pointer} invalid_link" for pointer in pointers]
    assert refused(source('<img src="{{ url }}">', ARROW), {"url": url}) == expected


def test_what_callers_see_of_it() -> None:
    """The schema says in words and as a format what is wanted."""
    schema = variables_of(source(LINK, ARROW)).schema
    assert schema["properties"]["url"] == {
        "type": "string",
        "format": "uri",
        "description": "The address of a link; it begins with https://, http://, mailto:, tel: or sms:.",
    }


AMOUNT = "{{ total | money('EUR') }} {{ due | date }}"
ORDER = {"total": "12.50", "due": "2026-12-24"}


@pytest.mark.parametrize(
    ("values", "pointers"),
    [
        ({"total": "12,50"}, ["/total"]),
        ({"total": ""}, ["/total"]),
        ({"due": "24.12.2026"}, ["/due"]),
        ({"total": "12 EUR", "due": "soon"}, ["/due", "/total"]),
        ({"total": "1e5"}, ["/total"]),
        ({"total": "1" * 30}, ["/total"]),
        ({"due": "2026-02-30"}, ["/due"]),
        ({"total": " 12.50 "}, []),
        ({"total": "-3", "due": "2026-12-24T10:00:00Z"}, []),
    ],
)
def test_a_value_that_a_filter_cannot_take_is_refused(values: dict[str, Any], pointers: list[str]) -> None:
    """All of them in one reply, in the words of the filter."""
    template = source("h", ORDER, AMOUNT)
    said = refused(template, ORDER | values)
    assert said == [f"/variables{pointer} wrong_variable_value" for pointer in pointers]
    assert renders(template, ORDER | values) is not bool(pointers)


def test_the_words_are_those_of_the_filter() -> None:
    """What it cannot take and what it wants, never the value."""
    (fault,) = faults(source("h", ORDER, AMOUNT), ORDER | {"total": "12,50"})
    assert fault.detail == '“money” cannot take this text. It wants a number, or one in a text, such as "12.50".'


SHOP = {
    "items": [{"price": 1.5, "count": 1}], "currency": "EUR", "zone": "Europe/Paris", "at": "2026-03-09T14:30:00Z",
    "maybe": "2026-03-09", "any": None, "share": "0.5", "clock": "14:30",
}  # fmt: skip
FILTERS = [
    ("{% for i in items %}{{ i.price | money(currency) }}{% endfor %}", {"currency": "Euro"}, ["/currency"]),
    ("{{ items[0].price | money(currency=currency) }}", {"currency": "eur"}, ["/currency"]),
    ("{% for i in items %}{{ i.price | money('EUR') }}{% endfor %}", {"items": [{"price": 1, "count": 1}] * 2}, []),
    ("{{ at | time(zone=zone) }}", {"zone": "Mars/Base"}, ["/zone"]),
    ("{{ at | time(zone=zone) }}", {"at": "2026-03-09T14:30:00"}, ["/at"]),
    ("{{ at | datetime('full') }}", {"at": "2026-03-09T14:30:00"}, ["/at"]),
    ("{{ at | datetime }}", {"at": "2026-03-09"}, ["/at"]),
    ("{{ clock | time }}", {"clock": "25:00"}, ["/clock"]),
    ("{{ clock | time }}", {"clock": "8:00"}, ["/clock"]),
    ("{{ share | percent(1) }}{{ share | number }}", {"share": "half"}, ["/share"]),
    ("{{ share | plural('one', 'more') }}", {"share": "many"}, ["/share"]),
    ("{% if maybe %}{{ maybe | date }}{% endif %}", {"maybe": ""}, []),
    ("{% if maybe %}{{ maybe | date }}{% endif %}", {"maybe": "today"}, ["/maybe"]),
    ("{{ maybe | date if maybe else 'some day' }}", {"maybe": ""}, []),
    ("{% if any %}{{ any | nl2br }}{% endif %}", {"any": 5}, ["/any"]),
    ("{% if any is not none and any %}{{ any | money('EUR') }}{% endif %}", {"any": None}, []),
    ("{{ (maybe or '2026-01-01') | date }}", {"maybe": ""}, []),
    ("{{ maybe | default('2026-01-01', true) | date }}", {"maybe": ""}, []),
    ("{% set d = maybe %}{{ d | date }}", {"maybe": ""}, ["/maybe"]),
]


@pytest.mark.parametrize(("text", "values", "pointers"), FILTERS)
def test_filters_in_loops_with_arguments_and_guards(text: str, values: dict[str, Any], pointers: list[str]) -> None:
    """A currency or a zone that another variable names is checked by its own pointer."""
    template = source("h", SHOP, text)
    assert sorted(refused(template, SHOP | values)) == [f"/variables{one} wrong_variable_value" for one in pointers]
    assert renders(template, SHOP | values) is not bool(pointers)


def test_items_are_told_one_by_one() -> None:
    """Each price has its own pointer."""
    items = [{"price": price, "count": 1} for price in ("1.00", "x", "2.00", "")]
    template = source(
        "h", {"items": [{"price": "1.00", "count": 1}]}, "{% for i in items %}{{ i.price | number }}{% endfor %}"
    )
    assert refused(template, {"items": items}) == [
        "/variables/items/1/price wrong_variable_value",
        "/variables/items/3/price wrong_variable_value",
    ]


def test_a_wrong_type_is_told_once() -> None:
    """A value of another type has one fault, not two."""
    assert refused(source("h", ORDER, AMOUNT), ORDER | {"total": 5}) == ["/variables/total wrong_variable_type"]


def test_a_style_is_checked_as_a_link_is() -> None:
    """A value of CSS that would be dropped is not dropped silently."""
    template = source('<p style="color: {{ colour }}">', {"colour": "red"})
    assert refused(template, {"colour": "#a1b2c3"}) == []
    assert refused(template, {"colour": "red; display: none"}) == ["/variables/colour wrong_variable_value"]
    assert not renders(template, {"colour": "red; display: none"})


def test_what_strangers_have_typed_is_looked_at_as_it_is_shown() -> None:
    """A public variable is cleaned before it is shown, and before it is checked."""
    template = source("h", {"total": "12.50"}, "{{ total | number }}", public=("total",))
    assert refused(template, {"total": "12.50\u200b"}) == []
    assert renders(template, {"total": "12.50\u200b"})


@pytest.mark.parametrize("tag", ["fr", "de"])
def test_a_locale_is_looked_at_whatever_is_asked_for(tag: str) -> None:
    """A value must be good in each language: the next request may ask for another."""
    files = {f"locales/{tag}/{name}": text for name, text in (("subject.txt", "s"), ("body.html", LINK))}
    template = source("<p>{{ url }}</p>", ARROW)
    template = TemplateSource(files=template.files | files, sample=ARROW, settings=template.settings)
    assert refused(template, {"url": "/x"}) == ["/variables/url invalid_link"]


def test_a_large_request_costs_little() -> None:
    """Of very many values only the first thousands are looked at; the rest is left to rendering."""
    template = source("h", {"list": ["1"]}, "{% for one in list %}{{ one | number }}{% endfor %}")
    assert len(faults(template, {"list": ["x"] * 60_000})) == 5_000


ODD = st.sampled_from(
    [*GOOD_LINKS[:8], *BAD_LINKS, "12.50", "12,50", "2026-12-24", "24.12.2026", "EUR", "14:30", "none"]
)
SHAPE = st.fixed_dictionaries(
    {
        "url": ODD,
        "home": ODD,
        "total": ODD,
        "due": ODD,
        "currency": ODD,
        "kind": ODD,
        "on": st.booleans(),
        "any": ODD | st.none() | st.integers(-2, 2) | st.floats(-9, 9) | st.booleans(),
        "lines": st.lists(st.fixed_dictionaries({"url": ODD, "kind": ODD, "price": ODD}), max_size=3),
    }
)
SAMPLE = {
    "url": URL, "home": URL, "total": "1", "due": "2026-01-01", "currency": "EUR", "kind": "web", "on": True,
    "any": None, "lines": [{"url": URL, "kind": "web", "price": "1"}],
}  # fmt: skip
KNOWN = [
    "{{ due | time(zone=kind) }}{{ due | datetime(zone='Europe/Paris') }}{{ home | money(currency) }}",
    *(html for html, _ in PLACES.values() if "order" not in html and "note" not in html),
    *(html for name, html in FINE.items() if "nobody" not in name and "list" not in html),
    '{% for one in lines %}{% if one.kind == "web" %}<a href="{{ one.url }}">{% endif %}{% endfor %}',
    "{% for one in lines %}{{ one.price | money(currency) }}{% else %}{{ total | number }}{% endfor %}",
    "{% if any %}{{ any | number }}{% endif %}{{ due | date if on else total | money('EUR') }}",
    '<a href="{{ any or url }}">{% for one in lines if not on %}<img src="{{ one.url }}">{% endfor %}',
    '{% if lines | length %}<a href="{{ lines[0].url }}">{% endif %}{% if on and url %}<a href="{{ url }}">{% endif %}',
]


@pytest.mark.parametrize("html", KNOWN)
@SEARCH
@given(values=SHAPE)
def test_submit_takes_what_renders_and_nothing_else(html: str, values: dict[str, Any]) -> None:
    """Whatever the values: accepted means that the mail can be made, refused that it cannot."""
    taken, made = tried(html, values)
    assert taken is made


@pytest.mark.parametrize("html", [*COMPUTED, FINE["guarded by what nobody knows"], "{{ total | trim | money('EUR') }}"])
@SEARCH
@given(values=SHAPE)
def test_submit_never_refuses_what_renders(html: str, values: dict[str, Any]) -> None:
    """Where the template is not understood, nothing is refused that would have been a good mail."""
    taken, made = tried(html, values)
    assert taken or not made
