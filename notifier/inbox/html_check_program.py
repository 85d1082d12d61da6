"""The child program of a check: reads a mail as JSON, writes the findings of the template rules as JSON.

It has a process of its own, because the rules are made for templates of one's own people, and a mail made to be
expensive can keep them busy for minutes.
"""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from notifier.template_language.template_source import HTML, TemplateSettings, TemplateSource
from notifier.template_lint.lint_remark import Severity
from notifier.template_lint.lint_report import MAIL_RULES, MAX_FINDINGS, MAX_REMARKS
from notifier.template_lint.lint_rule import RequiredOrigin, SampleMail

_NO_SOURCE = TemplateSource(files={}, sample={}, settings=TemplateSettings(name="mail"))


def list_findings(subject: str, html: str, text: str | None) -> list[dict[str, Any]]:
    """Run the rules for mails over a finished mail; errors first, then by line."""
    mail = SampleMail(source=_NO_SOURCE, tag=None, values={}, subject=subject, html=html, text=text, sent_html=html)
    findings = list(_iterate_findings(mail))
    findings.sort(key=lambda finding: (finding["severity"] != Severity.ERROR, finding["line"] or 0, finding["code"]))
    return findings[:MAX_REMARKS]


def _iterate_findings(mail: SampleMail) -> Iterator[dict[str, Any]]:
    reported = set()
    for rule in MAIL_RULES:
        for finding in islice(rule.find(mail), MAX_FINDINGS):
            # A rule about values of variables cannot apply: a finished mail does not say what came from one.
            is_html = finding.part == HTML and finding.offset is not None
            line = mail.html.count("\n", 0, finding.offset) + 1 if is_html else None
            key = (rule.code, line, finding.about, finding.message)
            if finding.required_origin is RequiredOrigin.VALUE or key in reported:
                continue
            reported.add(key)
            yield {
                "severity": rule.severity,
                "code": rule.code,
                "line": line,
                "message": finding.message,
                "advice": rule.advice,
            }


if __name__ == "__main__":
    json.dump(list_findings(**json.load(sys.stdin)), sys.stdout)
