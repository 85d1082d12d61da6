"""Each lint rule reports its code at the right place, and nothing for a correct source."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.lint_cases import CASES, PAGE, Case, build_lint_source

from notifier.rendering.protocol import SourceCheck
from notifier.rendering.source_check import check_source
from notifier.template_lint.lint_remark import LintRemark, Severity
from notifier.template_lint.lint_report import MAX_REMARKS, RULES
from notifier.templating import validation

ROOT = Path(__file__).parents[3]


def checked(body: str = "", style: str = "", **more: Any) -> SourceCheck:
    """The report on a source that can be rendered."""
    report = check_source(build_lint_source(body, style, **more))
    assert report.faults == []
    return report


def list_remarks(body: str = "", style: str = "", **more: Any) -> list[tuple[str, str, int | None]]:
    """The remarks with code, file and line."""
    return [(remark.code, remark.file, remark.line) for remark in checked(body, style, **more).remarks]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_rule_finds_what_it_is_for_at_its_place_and_nothing_else(case: Case) -> None:
    """The bad source has exactly one remark at the right place; the good one has none."""
    assert list_remarks(**case.bad) == [(case.code, case.file, case.line)]
    assert list_remarks(**case.good) == []


def test_each_rule_is_tested_and_documented() -> None:
    """The rules, the cases and the table in docs/lint.md agree on severity, meaning and advice."""
    assert {case.code for case in CASES} == {rule.code for rule in RULES}
    table = (ROOT / "docs" / "lint.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (.+) \| (.+) \|$", table.replace("`", ""), re.MULTILINE)
    assert sorted(rows[1:]) == sorted(
        (rule.code, rule.severity.value, rule.meaning.replace("`", ""), rule.advice) for rule in RULES
    )


def test_errors_block_publishing_and_warnings_do_not() -> None:
    """A report separates errors and warnings, and lists errors first."""
    report = checked('<img src="https://a.example/b.png" alt="B"><form></form>')
    assert [remark.severity for remark in report.remarks] == [Severity.ERROR, Severity.WARNING]
    (fault,) = validation.list_publish_faults(report)
    assert (fault.pointer, fault.code) == ("/files/body.html", "template_blocked")
    assert fault.detail.startswith("body.html, line 4: <form> does not work in mail")
    assert str(report.remarks[1]).startswith("body.html, line 4: An image has no width.")


LAYOUT = PAGE.replace("BODY", "<b>x\n{% block content %}{% endblock %}")
CHILD = """{% extends "_layouts/base.html" %}
{% block content %}
{% import "_layouts/ui.html" as ui %}
x {{ ui.button() }}
<i>y
{% endblock %}"""
LAYOUTS = {
    "_layouts/base.html": LAYOUT.replace("STYLE", ""),
    "_layouts/ui.html": "{% macro button() %}\n<u>\n{% endmacro %}",
}


def test_a_remark_names_the_file_that_has_the_mistake() -> None:
    """A remark has the file and line of the mistake, in a layout, macro or template."""
    remark = list_remarks(page=CHILD, files=LAYOUTS)
    assert remark == [
        ("unclosed_tag", "_layouts/base.html", 4),
        ("unclosed_tag", "_layouts/ui.html", 2),
        ("unclosed_tag", "body.html", 5),
    ]


def remarks(locales: dict[str, str], files: dict[str, str]) -> list[LintRemark]:
    """The remarks on a template with equal HTML in all locales, except what is replaced."""
    parts = {
        f"locales/{tag}/{name}": text
        for tag, body in locales.items()
        for name, text in (("subject.txt", "Salut"), ("body.html", body), ("body.txt", "Salut"))
    }
    return checked(page=CHILD.replace("<i>y", "y"), files={**files, **parts}).remarks


def test_what_all_locales_share_is_told_once() -> None:
    """A layout's mistake is one remark; a mistake in one locale names the locale."""
    layouts = {**LAYOUTS, "_layouts/ui.html": "{% macro button() %}{% endmacro %}"}
    shared = remarks({"fr": CHILD}, layouts)
    assert [(remark.file, remark.line, remark.locale) for remark in shared] == [
        ("_layouts/base.html", 4, None),
        ("locales/fr/body.html", 5, "fr"),
    ]
    other = {
        **LAYOUTS,
        "_layouts/base.html": LAYOUT.replace("<b>x", "{% if locale == 'fr' %}\n<b>x\n{% endif %}").replace("STYLE", ""),
        "_layouts/ui.html": layouts["_layouts/ui.html"],
    }
    shared = remarks({"fr": CHILD.replace("<i>y", "y")}, other)
    assert [(remark.file, remark.line, remark.locale) for remark in shared] == [("_layouts/base.html", 5, "fr")]


def test_a_list_of_a_thousand_mistakes_is_one_remark() -> None:
    """A line in a loop is reported once, and the number of remarks is bounded."""
    assert len(checked("{% for i in range(1000) %}</b>{% endfor %}").remarks) == 1
    assert len(checked("\n".join(["</b>"] * 300)).remarks) == MAX_REMARKS


def test_only_what_the_sample_renders_without_optional_values_too_is_seen() -> None:
    """A tag that is closed only with an optional value is reported for the shortest request."""
    body = "<div>\n{% if a is defined %}</div>{% endif %}"
    assert list_remarks(body, sample={"a": 1}, optional=("a",)) == [("unclosed_tag", "body.html", 4)]
