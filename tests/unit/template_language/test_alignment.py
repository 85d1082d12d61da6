"""Columns of a text part."""

import pytest
from jinja2.exceptions import SecurityError

from notifier.template_language.sandbox import create_environment, render_limited
from notifier.template_language.template_values import MisusedError


def _rendered(text: str, **values: object) -> str:
    return render_limited(create_environment({"a": text}, autoescape=False).get_template("a"), values)


def test_text_is_put_to_one_side() -> None:
    """Text is padded with spaces on one side to the width."""
    assert _rendered("[{{ a | left(4) }}][{{ b | right(4) }}]", a="ab", b=12) == "[ab  ][  12]"


def test_longer_text_is_not_cut() -> None:
    """Text over the width is not cut."""
    assert _rendered("{{ a | left(2) }}|", a="abc") == "abc|"


@pytest.mark.parametrize("width", ["10 ** 9", "201", "-1", "'9'"])
def test_a_column_has_a_bound(width: str) -> None:
    """The width has a maximum, so that a filter cannot write a gigabyte of spaces."""
    with pytest.raises((MisusedError, SecurityError)):
        _rendered(f"{{{{ 'x' | left({width}) }}}}")
