"""Templates that use values, and the results of submit and rendering for them."""

from typing import Any

import jsonschema_rs

from notifier.errors import Fault
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.template_language.variable_schema import find_variable_faults
from notifier.template_language.variable_usage import analyze_variables

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


def build_value_source(
    html: str, sample: dict[str, Any], text: str = "t", subject: str = "s", **settings: Any
) -> TemplateSource:
    """Build a template with these bodies."""
    files = FILES | {"subject.txt": subject, "body.html": html, "body.txt": text}
    return TemplateSource(files=files, sample=sample, settings=TemplateSettings(name="A", **settings))


def find_faults(template: TemplateSource, values: dict[str, Any]) -> list[Fault]:
    """Get the faults of the values at submit."""
    schema = analyze_variables(template).schema
    jsonschema_rs.meta.validate(schema)
    return find_variable_faults(schema, values)


def list_refused(template: TemplateSource, values: dict[str, Any]) -> list[str]:
    """Get pointers and codes of the refused values at submit."""
    return [f"{fault.pointer} {fault.code}" for fault in find_faults(template, values)]


def can_render(template: TemplateSource, values: dict[str, Any]) -> bool:
    """True if a mail can be rendered with the values."""
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
COMPUTED = ['<a href="{{ url ~ "/x" }}">', '<a href="{{ url | trim }}">', '<a href="{{ [url] | first }}">']
