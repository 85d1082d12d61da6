"""Submit accepts exactly the values that can be rendered: a search with random odd values."""

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.value_check_template import BAD_LINKS, COMPUTED, FINE, GOOD_LINKS, PLACES, URL, build_value_source

from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError
from notifier.template_language.variable_schema import find_variable_faults
from notifier.template_language.variable_usage import analyze_variables

SEARCH = settings(max_examples=30, deadline=None)


@cache
def _compiled(html: str) -> tuple[dict[str, Any], CompiledVersion]:
    template = build_value_source(html, SAMPLE)
    return analyze_variables(template).schema, CompiledVersion(template)


def tried(html: str, values: dict[str, Any]) -> tuple[bool, bool]:
    """Whether submit accepts the values, and whether they can be rendered."""
    schema, version = _compiled(html)
    taken = find_variable_faults(schema, values) == []
    try:
        version.render(None, values)
    except PartError:
        return taken, False
    return taken, True


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
    """For random values, submit accepts them if and only if the mail can be rendered."""
    taken, made = tried(html, values)
    assert taken is made


@pytest.mark.parametrize("html", [*COMPUTED, FINE["guarded by what nobody knows"], "{{ total | trim | money('EUR') }}"])
@SEARCH
@given(values=SHAPE)
def test_submit_never_refuses_what_renders(html: str, values: dict[str, Any]) -> None:
    """In templates that cannot be analysed, no value that renders is refused."""
    taken, made = tried(html, values)
    assert taken or not made
