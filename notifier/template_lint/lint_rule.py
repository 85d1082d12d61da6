"""What a rule is: a function over one rendered mail or over the whole source, with its severity and advice.

A rule's code is the function's name, and never changes; what it means is the function's docstring.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, TypeVar

from notifier.rendering.protocol import Severity
from notifier.template_language.template_source import HTML, LOCALES, TemplateSource
from notifier.template_lint.document_css import DocumentCss, parse_css
from notifier.template_lint.html_document import HtmlDocument, parse_document


class RequiredOrigin(StrEnum):
    """Where a place has to come from for a finding to count."""

    VALUE = "value"  # a variable's value; not known: it does not count
    TEXT = "text"  # the source itself; not known: it counts


@dataclass(frozen=True, kw_only=True)
class LintFinding:
    """One place at which a rule applies."""

    message: str  # a sentence
    part: str = HTML
    offset: int | None = None  # in the rendered part; None: the whole of it
    about: str = ""  # tells findings of one rule in one line apart, so that both are told
    value: str | None = None  # what the sample may be to blame for
    required_origin: RequiredOrigin | None = None
    file: str | None = None  # where no rendered part is meant
    line: int | None = None  # in that file


@dataclass(frozen=True)
class SampleMail:
    """One rendering of the sample, as the template writes it: before its styles are moved."""

    source: TemplateSource
    tag: str | None  # None: the default locale
    values: dict[str, Any]
    subject: str
    html: str
    text: str | None  # None: the template has no text part
    sent_html: str  # with styles in the tags

    @property
    def prefix(self) -> str:
        """Of the files of this locale."""
        return f"{LOCALES}{self.tag}/" if self.tag else ""

    @cached_property
    def document(self) -> HtmlDocument:
        """The HTML, parsed."""
        return parse_document(self.html)

    @cached_property
    def sheet(self) -> DocumentCss:
        """The CSS in it."""
        return parse_css(self.document)


RuleSubject = TypeVar("RuleSubject")


@dataclass(frozen=True, kw_only=True)
class LintRule(Generic[RuleSubject]):
    """One thing that is looked for."""

    code: str
    severity: Severity
    meaning: str
    advice: str
    find: Callable[[RuleSubject], Iterator[LintFinding]]


def error_rule(advice: str) -> Callable[[Callable[[RuleSubject], Iterator[LintFinding]]], LintRule[RuleSubject]]:
    """Make a rule of a function; what it finds keeps a draft from being published."""
    return lambda find: _build_rule(find, Severity.ERROR, advice)


def warning_rule(advice: str) -> Callable[[Callable[[RuleSubject], Iterator[LintFinding]]], LintRule[RuleSubject]]:
    """Make a rule of a function; what it finds is told, and nothing more."""
    return lambda find: _build_rule(find, Severity.WARNING, advice)


def _build_rule(
    find: Callable[[RuleSubject], Iterator[LintFinding]], severity: Severity, advice: str
) -> LintRule[RuleSubject]:
    return LintRule(
        code=find.__name__, severity=severity, meaning=(find.__doc__ or "").strip(), advice=advice, find=find
    )
