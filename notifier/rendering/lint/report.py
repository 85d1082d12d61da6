"""Run all rules over a source; each remark is given once, with its place in the source."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from notifier.rendering.job import Remark, Severity
from notifier.rendering.lint import link, page, promise, structure, style, wording
from notifier.rendering.lint.origin import Origin, Origins
from notifier.rendering.lint.promise import SAMPLE, Whole
from notifier.rendering.lint.rule import Found, Mail, Only, Rule
from notifier.rendering.source import LOCALES, TemplateSource

SOURCE_RULES: Final[tuple[Rule[Whole], ...]] = (
    promise.undefined_variable,
    promise.unused_variable,
    promise.raw_value,
    promise.unmatched_path,
    promise.wrong_mailbox,
    promise.unsubscribe_not_asked,
)
MAIL_RULES: Final[tuple[Rule[Mail], ...]] = (
    promise.unsubscribe_not_shown,
    structure.unclosed_tag,
    structure.stray_closing_tag,
    structure.wrong_nesting,
    structure.broken_tag,
    structure.duplicate_attribute,
    structure.unquoted_variable,
    page.forbidden_element,
    page.event_attribute,
    page.missing_lang,
    page.missing_title,
    page.missing_preheader,
    page.large_html,
    page.large_style,
    link.dangerous_link,
    link.relative_link,
    link.empty_link,
    link.insecure_link,
    link.vague_link,
    link.image_without_alt,
    link.image_without_width,
    link.data_image,
    style.external_stylesheet,
    style.css_import,
    style.web_font,
    style.ignored_css,
    style.lost_rule,
    style.background_without_colour,
    wording.long_subject,
    wording.empty_subject,
    wording.braces_left,
    wording.long_text_line,
    wording.markup_in_text,
)
RULES: Final[tuple[Rule[Any], ...]] = (*SOURCE_RULES, *MAIL_RULES)

MOST_FOUND: Final = 200
"""Findings of one rule in one mail that are looked at."""
MOST_REMARKS: Final = 100
"""Remarks about one source; errors come first."""


def remarks_on(whole: Whole, mails: Iterable[Mail]) -> list[Remark]:
    """Run the rules over a source and its sample mails: errors first, then by file and line."""
    remarks = [*_in_source(whole), *_in_mails(whole.source, [*mails])]
    remarks.sort(key=lambda remark: (remark.severity is not Severity.ERROR, remark.file, remark.line or 0, remark.code))
    return remarks[:MOST_REMARKS]


def _in_source(whole: Whole) -> Iterator[Remark]:
    reported = set()
    for rule in SOURCE_RULES:
        for finding in islice(rule.find(whole), MOST_FOUND):
            file = finding.file or SAMPLE
            key = (rule.code, file, finding.line, finding.about)
            if key not in reported:
                yield _remark(rule, finding, file, finding.line, locale=_locale_of(file))
            reported.add(key)


def _in_mails(source: TemplateSource, mails: list[Mail]) -> list[Remark]:
    """Run the rules over the mails; the same place of the source in several mails gives one remark."""
    origins = Origins(source)
    tags = {mail.tag for mail in mails}
    reported: dict[tuple[Any, ...], tuple[Rule[Mail], Found, str, int | None, set[str | None]]] = {}
    for mail in mails:
        values = _leaves(mail.values)
        for rule in MAIL_RULES:
            for finding in islice(rule.find(mail), MOST_FOUND):
                place = _place(origins, mail, finding, values)
                if place is not None:
                    file, line = place
                    key = (rule.code, file, line, finding.about if line else finding.message)
                    reported.setdefault(key, (rule, finding, file, line, set()))[-1].add(mail.tag)
    return [
        _remark(rule, finding, file, line, locale=_locale_of(file) or _locale_in(locales, tags, source))
        for rule, finding, file, line, locales in reported.values()
    ]


def _place(origins: Origins, mail: Mail, finding: Found, values: frozenset[str]) -> tuple[str, int | None] | None:
    """File and line of a finding; None if it does not count because of its origin."""
    origin: Origin | None = None
    if finding.offset is not None:
        origin = origins.of(mail, finding.part, finding.offset)
    is_value = origin is not None and origin.is_value
    if (finding.only is Only.VALUE and not is_value) or (finding.only is Only.TEXT and is_value):
        return None
    if is_value and finding.value in values:
        return SAMPLE, None
    return (origin.file, origin.line) if origin else (f"{mail.prefix}{finding.part}", None)


def _leaves(values: Any) -> frozenset[str]:
    """All the texts in a sample."""
    pending, texts = [values], set()
    for value in pending:  # the list grows in the loop
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, str):
            texts.add(value.strip())
    return frozenset(texts)


def _locale_of(file: str) -> str | None:
    """The locale of a file; None for files that all locales share."""
    return file.split("/")[1] if file.startswith(LOCALES) else None


def _locale_in(locales: set[str | None], tags: set[str | None], source: TemplateSource) -> str | None:
    """The locale to name for a shared file, if not all locales have the finding."""
    if locales == tags:
        return None
    return min(tag or source.settings.locale for tag in locales)


def _remark(rule: Rule[Any], finding: Found, file: str, line: int | None, *, locale: str | None) -> Remark:
    return Remark(
        severity=rule.severity,
        code=rule.code,
        file=file,
        line=line,
        message=finding.message,
        advice=rule.advice,
        locale=locale,
    )
