"""Run all rules over a source; each remark is given once, with its place in the source."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from notifier.template_language.template_source import LOCALES, TemplateSource
from notifier.template_lint import css_rules, link_rules, mail_rules, source_rules
from notifier.template_lint.lint_remark import LintRemark, Severity
from notifier.template_lint.lint_rule import LintFinding, LintRule, RequiredOrigin, SampleMail, list_rules
from notifier.template_lint.source_origin import OriginFinder, SourceOrigin
from notifier.template_lint.source_rules import SAMPLE_FILE, CheckedSource

SOURCE_RULES: Final[tuple[LintRule[CheckedSource], ...]] = list_rules(source_rules)
MAIL_RULES: Final[tuple[LintRule[SampleMail], ...]] = list_rules(mail_rules, link_rules, css_rules)
RULES: Final[tuple[LintRule[Any], ...]] = (*SOURCE_RULES, *MAIL_RULES)

MAX_FINDINGS: Final = 200
"""Findings of one rule in one mail that are looked at."""
MAX_REMARKS: Final = 100
"""Remarks about one source; errors come first."""


def lint_source(whole: CheckedSource, mails: Iterable[SampleMail]) -> list[LintRemark]:
    """Run the rules over a source and its sample mails. Errors come first, then by file and line."""
    remarks = [*_lint_whole_source(whole), *_lint_mails(whole.source, [*mails])]
    remarks.sort(key=lambda remark: (remark.severity is not Severity.ERROR, remark.file, remark.line or 0, remark.code))
    return remarks[:MAX_REMARKS]


def _lint_whole_source(whole: CheckedSource) -> Iterator[LintRemark]:
    reported = set()
    for rule in SOURCE_RULES:
        for finding in islice(rule.find(whole), MAX_FINDINGS):
            file = finding.file or SAMPLE_FILE
            key = (rule.code, file, finding.line, finding.about)
            if key not in reported:
                yield _build_remark(rule, finding, file, finding.line, locale=_get_locale(file))
            reported.add(key)


def _lint_mails(source: TemplateSource, mails: list[SampleMail]) -> list[LintRemark]:
    """Run the rules over the mails; the same place of the source in several mails gives one remark."""
    origins = OriginFinder(source)
    tags = {mail.tag for mail in mails}
    reported: dict[tuple[Any, ...], tuple[LintRule[SampleMail], LintFinding, str, int | None, set[str | None]]] = {}
    for mail in mails:
        values = _list_texts(mail.values)
        for rule in MAIL_RULES:
            for finding in islice(rule.find(mail), MAX_FINDINGS):
                place = _find_place(origins, mail, finding, values)
                if place is not None:
                    file, line = place
                    key = (rule.code, file, line, finding.about if line else finding.message)
                    reported.setdefault(key, (rule, finding, file, line, set()))[-1].add(mail.tag)
    return [
        _build_remark(rule, finding, file, line, locale=_get_locale(file) or _choose_locale(locales, tags, source))
        for rule, finding, file, line, locales in reported.values()
    ]


def _find_place(
    origins: OriginFinder, mail: SampleMail, finding: LintFinding, values: frozenset[str]
) -> tuple[str, int | None] | None:
    """File and line of a finding; None if it does not count because of its origin."""
    origin: SourceOrigin | None = None
    if finding.offset is not None:
        origin = origins.find_origin(mail, finding.part, finding.offset)
    is_value = origin is not None and origin.is_value
    if (finding.required_origin is RequiredOrigin.VALUE and not is_value) or (
        finding.required_origin is RequiredOrigin.TEXT and is_value
    ):
        return None
    if is_value and finding.value in values:
        return SAMPLE_FILE, None
    return (origin.file, origin.line) if origin else (f"{mail.prefix}{finding.part}", None)


def _list_texts(values: Any) -> frozenset[str]:
    pending, texts = [values], set()
    for value in pending:  # the list grows in the loop
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str):
            texts.add(value.strip())
    return frozenset(texts)


def _get_locale(file: str) -> str | None:
    """The locale of a file; None for files that all locales share."""
    return file.split("/")[1] if file.startswith(LOCALES) else None


def _choose_locale(locales: set[str | None], tags: set[str | None], source: TemplateSource) -> str | None:
    """The locale to name for a shared file, if not all locales have the finding."""
    if locales == tags:
        return None
    return min(tag or source.settings.locale for tag in locales)


def _build_remark(
    rule: LintRule[Any], finding: LintFinding, file: str, line: int | None, *, locale: str | None
) -> LintRemark:
    return LintRemark(
        severity=rule.severity,
        code=rule.code,
        file=file,
        line=line,
        message=finding.message,
        advice=rule.advice,
        locale=locale,
    )
