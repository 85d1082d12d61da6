"""All the rules, and what they have to say about a source: each remark once, with its place in the source."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from notifier.rendering.protocol import LintRemark, Severity
from notifier.template_language.template_source import LOCALES, TemplateSource
from notifier.template_lint import css_rules, link_rules, page_rules, source_rules, tag_rules, text_rules
from notifier.template_lint.lint_rule import LintFinding, LintRule, RequiredOrigin, SampleMail
from notifier.template_lint.source_origin import OriginFinder, SourceOrigin
from notifier.template_lint.source_rules import SAMPLE_FILE, CheckedSource

SOURCE_RULES: Final[tuple[LintRule[CheckedSource], ...]] = (
    source_rules.undefined_variable,
    source_rules.unused_variable,
    source_rules.raw_value,
    source_rules.unmatched_path,
    source_rules.wrong_mailbox,
    source_rules.unsubscribe_not_asked,
)
MAIL_RULES: Final[tuple[LintRule[SampleMail], ...]] = (
    source_rules.unsubscribe_not_shown,
    tag_rules.unclosed_tag,
    tag_rules.stray_closing_tag,
    tag_rules.wrong_nesting,
    tag_rules.broken_tag,
    tag_rules.duplicate_attribute,
    tag_rules.unquoted_variable,
    page_rules.forbidden_element,
    page_rules.event_attribute,
    page_rules.missing_lang,
    page_rules.missing_title,
    page_rules.missing_preheader,
    page_rules.large_html,
    page_rules.large_style,
    link_rules.dangerous_link,
    link_rules.relative_link,
    link_rules.empty_link,
    link_rules.insecure_link,
    link_rules.vague_link,
    link_rules.image_without_alt,
    link_rules.image_without_width,
    link_rules.data_image,
    css_rules.external_stylesheet,
    css_rules.css_import,
    css_rules.web_font,
    css_rules.ignored_css,
    css_rules.lost_rule,
    css_rules.background_without_colour,
    text_rules.long_subject,
    text_rules.empty_subject,
    text_rules.braces_left,
    text_rules.long_text_line,
    text_rules.markup_in_text,
)
RULES: Final[tuple[LintRule[Any], ...]] = (*SOURCE_RULES, *MAIL_RULES)

MAX_FINDINGS: Final = 200
"""Places that one rule looks at in one mail; a list of a thousand items is one remark, and not a thousand."""
MAX_REMARKS: Final = 100
"""Remarks of one source; errors come first."""


def lint_source(whole: CheckedSource, mails: Iterable[SampleMail]) -> list[LintRemark]:
    """What the rules find in a source and in its sample mails: errors first, then file by file, line by line."""
    found = [*_in_source(whole), *_in_mails(whole.source, [*mails])]
    found.sort(key=lambda one: (one.severity is not Severity.ERROR, one.file, one.line or 0, one.code))
    return found[:MAX_REMARKS]


def _in_source(whole: CheckedSource) -> Iterator[LintRemark]:
    seen = set()
    for rule in SOURCE_RULES:
        for found in islice(rule.find(whole), MAX_FINDINGS):
            file = found.file or SAMPLE_FILE
            key = (rule.code, file, found.line, found.about)
            if key not in seen:
                yield _build_remark(rule, found, file, found.line, locale=_locale_of(file))
            seen.add(key)


def _in_mails(source: TemplateSource, mails: list[SampleMail]) -> list[LintRemark]:
    """One remark for what is found in several mails at the same place of the source."""
    origins = OriginFinder(source)
    tags = {mail.tag for mail in mails}
    seen: dict[tuple[Any, ...], tuple[LintRule[SampleMail], LintFinding, str, int | None, set[str | None]]] = {}
    for mail in mails:
        values = _list_texts(mail.values)
        for rule in MAIL_RULES:
            for found in islice(rule.find(mail), MAX_FINDINGS):
                place = _find_place(origins, mail, found, values)
                if place is not None:
                    file, line = place
                    key = (rule.code, file, line, found.about if line else found.message)
                    seen.setdefault(key, (rule, found, file, line, set()))[-1].add(mail.tag)
    return [
        _build_remark(rule, found, file, line, locale=_locale_of(file) or _locale_in(found_in, tags, source))
        for rule, found, file, line, found_in in seen.values()
    ]


def _find_place(
    origins: OriginFinder, mail: SampleMail, found: LintFinding, values: frozenset[str]
) -> tuple[str, int | None] | None:
    """File and line of what was found, or None if it does not count after all."""
    origin: SourceOrigin | None = None
    if found.offset is not None:
        origin = origins.find_origin(mail, found.part, found.offset)
    is_value = origin is not None and origin.is_value
    if (found.required_origin is RequiredOrigin.VALUE and not is_value) or (
        found.required_origin is RequiredOrigin.TEXT and is_value
    ):
        return None
    if is_value and found.value in values:
        return SAMPLE_FILE, None
    return (origin.file, origin.line) if origin else (f"{mail.prefix}{found.part}", None)


def _list_texts(values: Any) -> frozenset[str]:
    """All the texts in a sample."""
    left, found = [values], set()
    for value in left:  # which grows meanwhile
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str):
            found.add(value.strip())
    return frozenset(found)


def _locale_of(file: str) -> str | None:
    """The locale that a file belongs to."""
    return file.split("/")[1] if file.startswith(LOCALES) else None


def _locale_in(found_in: set[str | None], tags: set[str | None], source: TemplateSource) -> str | None:
    """The one to name for a file that all use, if it was not found in all of them."""
    if found_in == tags:
        return None
    return min(tag or source.settings.locale for tag in found_in)


def _build_remark(
    rule: LintRule[Any], found: LintFinding, file: str, line: int | None, *, locale: str | None
) -> LintRemark:
    return LintRemark(
        severity=rule.severity,
        code=rule.code,
        file=file,
        line=line,
        message=found.message,
        advice=rule.advice,
        locale=locale,
    )
