"""How a child compares the mails of two versions, run in this process."""

import json
from typing import Any

from notifier.rendering.child_program import RenderingChild
from notifier.rendering.protocol import CompareAnswer, CompareRequest, MailComparison, MailVariables
from notifier.rendering.source_check import MAX_DIFF_LINES, MAX_LINE_LENGTH, diff_texts
from notifier.template_language.template_source import TemplateSettings, TemplateSource


def source(html: str, subject: str = "S") -> TemplateSource:
    """A source of these parts."""
    files = {"subject.txt": subject, "body.html": html, "locales/fr/subject.txt": "Sujet", "locales/fr/body.html": "F"}
    return TemplateSource(files=files, sample={"x": ""}, settings=TemplateSettings(name="A"))


def compared(old: TemplateSource, new: TemplateSource, locale: str | None = None, **values: Any) -> MailComparison:
    """Compare one mail of both versions."""
    payload = MailVariables(locale=locale, variables=json.dumps(values))
    request = CompareRequest(before="a", after="b", payloads=[payload], sources={"a": old, "b": new}, with_diffs=True)
    answer = RenderingChild().answer_request(request)
    assert isinstance(answer, CompareAnswer)
    (comparison,) = answer.results
    assert comparison is not None
    return comparison


def test_only_what_differs_is_told() -> None:
    """Parts that differ are listed with diffs; an equal locale has none."""
    old, new = source("<p>{{ x }}</p>"), source("<p>{{ x }}!</p>", "T")
    comparison = compared(old, new, x="a")
    assert comparison.changed == ["subject", "html", "text"]
    assert comparison.diffs["subject"] == "--- published\n+++ draft\n@@ -1 +1 @@\n-S\n+T"
    assert compared(old, new, "fr-CA", x="a") == MailComparison()


def test_a_mail_that_one_version_cannot_make_has_that_ones_fault() -> None:
    """If only one version can be rendered, the other's fault is reported, also for the whole mail."""
    old, new = source("<p>{{ y }}"), source("<p>", "a\n{{ x }}")
    comparison = compared(old, new, x="a")
    assert comparison.before is not None
    assert comparison.before.part == "body.html"
    assert comparison.after is not None
    assert comparison.after.part == "mail"


def test_changes_that_are_alike_have_one_shape() -> None:
    """Changes with other values have the same shape; another branch has another shape."""
    old, new = source("<p>\n{{ x }}\n</p>"), source("<p>\n{% if x > 'm' %}\n1\n2\n{% endif %}\nDear {{ x }}\n</p>")
    shapes = [compared(old, new, x=x).shape for x in "abz"]
    assert shapes[0] == shapes[1] != shapes[2]


def test_a_diff_is_cut() -> None:
    """Diffs have a maximum number of lines and a maximum line length."""
    lines = diff_texts("", "\n".join("y" * 9999 for _ in range(MAX_DIFF_LINES))).split("\n")
    assert len(lines) == MAX_DIFF_LINES + 1
    assert lines[-1] == "…"
    assert max(map(len, lines)) == MAX_LINE_LENGTH + 1
