"""Size limits for texts that grow exponentially."""

import pytest

from notifier.mail.limits import OutputTooLargeError
from notifier.template_language.sandbox import create_environment, render_limited


@pytest.mark.parametrize(
    "text",
    [
        "{% set s = x %}" + "{% set s = s ~ s %}" * 22 + "{{ s | length }}",
        "{% set s %}{{ x }}{% endset %}" + "{% set s %}{{ s }}{{ s }}{% endset %}" * 22 + "{{ s | length }}",
        "{% macro twice(s) %}{{ s }}{{ s }}{% endmacro %}{% set s = x %}"
        + "{% set s = twice(s) %}" * 22
        + "{{ s | length }}",
    ],
)
def test_a_text_is_stopped_while_it_grows(text: str) -> None:
    """A text that doubles itself is stopped, even if it is never shown."""
    for autoescape in (True, False):
        template = create_environment({"a": text}, autoescape=autoescape).get_template("a")
        with pytest.raises(OutputTooLargeError):
            render_limited(template, {"x": "ab"})
