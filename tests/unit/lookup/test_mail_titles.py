"""What lists show of a subject before values are put in."""

import pytest

from notifier.lookup.mail_titles import build_subject_pattern


@pytest.mark.parametrize(
    ("subject", "pattern"),
    [
        ("Your order {{ order.number }} is on its way", "Your order \u2039order.number\u203a is on its way"),
        ("{{name|upper}},\n  welcome", "\u2039name\u203a, welcome"),
        ("{{- total | money('EUR') -}}", "\u2039total\u203a"),
        ('{{ "Dear " ~ user.name }}: hello', "\u2039user.name\u203a: hello"),
        ("{{ (first or last)|title }}", "\u2039first\u203a"),
        ("{% if late %}Late: {% endif %}news{# old #}", "Late: news"),
        ("{{ 1 + 1 }} things", "\u2026 things"),
        ("No values", "No values"),
        ("", ""),
        ("{{ broken", "{{ broken"),
    ],
)
def test_a_pattern_names_the_values(subject: str, pattern: str) -> None:
    """Each value is its name between small quotes; tags and comments are left out."""
    assert build_subject_pattern(subject) == pattern
