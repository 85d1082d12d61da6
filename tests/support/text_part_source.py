"""A version with a given text part, and a sample with values of every kind."""

from typing import Any

from notifier.template_language.template_source import TemplateSettings, TemplateSource

SAMPLE: dict[str, Any] = {
    "name": "Ada",
    "count": 2,
    "vip": True,
    "free": None,
    "order": {"id": "A-1", "note": "gift", "address": {"city": "Paris"}},
    "items": [{"name": "bowl", "price": 2.5, "tags": ["new"]}],
    "days": ["Mon"],
}
LAYOUTS = {
    "_layouts/base.txt": "{% block top %}{{ count }}{% endblock %}{% block main %}{{ order.id }}{% endblock %}",
    "_layouts/ui.txt": (
        "{% macro line(item, note='') %}{{ item.name }}{{ note }}{% endmacro %}"
        "{% macro each(list) %}{% for one in list %}{{ caller(one) }}{% endfor %}{% endmacro %}"
    ),
    "_layouts/foot.txt": "{{ name }}",
    "_layouts/open.txt": "{% macro hi() %}{{ name }}{% endmacro %}",
}


def build_text_source(text: str, **settings: Any) -> TemplateSource:
    """Build a version with this text part; its other parts read nothing."""
    parts = {"subject.txt": "Hi", "body.html": "<p>", "body.txt": text}
    return TemplateSource(files=LAYOUTS | parts, sample=SAMPLE, settings=TemplateSettings(name="A", **settings))
