"""Deeply nested elements, which would make css-inline crash the process."""

import pytest

from notifier.mail.style_inliner import inline_styles


@pytest.mark.parametrize(
    ("begin", "end"), [("<table><tr><td>", "</td></tr></table>"), ("<div>", "</div>"), ("<b>", "")]
)
def test_elements_without_number_in_each_other_harm_nothing(begin: str, end: str) -> None:
    """A mail that is nested too deeply is not inlined."""
    body = f"{begin * 5000}<p>deep</p>{end * 5000}"
    html = f"<html><head><style>p {{ color: red }}</style></head><body>{body}</body></html>"
    assert inline_styles(html) == html


def test_many_elements_beside_each_other_are_not_deep() -> None:
    """Tags without end tags and text-only tags do not count as nested."""
    html = f"<head><style>i {{ color: red }}</style></head><body>{'<p>a<br><script></script>' * 700}<i>b</i></body>"
    assert '<i style="color:red">b</i>' in inline_styles(html)
