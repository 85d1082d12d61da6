"""What a lint rule is: a function over one sample mail or over the whole source, with a severity and advice.

A rule's code is its function's name and never changes; its meaning is the function's docstring.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import ModuleType
from typing import Any, Generic, TypeVar

from notifier.template_language.template_source import HTML, LOCALES, TemplateSource
from notifier.template_lint.document_css import DocumentCss, parse_css
from notifier.template_lint.html_document import HtmlDocument, parse_document
from notifier.template_lint.lint_remark import Severity


class RequiredOrigin(StrEnum):
    """Where a finding must come from to count."""

    VALUE = "value"  # a variable's value; a finding of unknown origin does not count
    TEXT = "text"  # the source's own text; a finding of unknown origin counts


@dataclass(frozen=True, kw_only=True)
class LintFinding:
    """A place that breaks a rule."""

    message: str  # a sentence
    part: str = HTML
    offset: int | None = None  # in the rendered part; None: the whole part
    about: str = ""  # distinguishes findings of one rule on one line
    value: str | None = None  # a text that may come from the sample
    required_origin: RequiredOrigin | None = None
    file: str | None = None  # for a finding that is not in a rendered part
    line: int | None = None  # in that file


@dataclass(frozen=True)
class SampleMail:
    """One rendering of the sample, before its styles are moved into the tags."""

    source: TemplateSource
    tag: str | None  # None: the default locale
    values: dict[str, Any]
    subject: str
    html: str
    text: str | None  # None: the template has no text part
    sent_html: str  # with styles in the tags

    @property
    def prefix(self) -> str:
        """The folder of this locale's files."""
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
    """A rule with its code, severity and advice."""

    code: str
    severity: Severity
    meaning: str
    advice: str
    find: Callable[[RuleSubject], Iterator[LintFinding]]


def error_rule(advice: str) -> Callable[[Callable[[RuleSubject], Iterator[LintFinding]]], LintRule[RuleSubject]]:
    """Make the function a rule whose findings keep a draft from being published."""
    return lambda find: _build_rule(find, Severity.ERROR, advice)


def warning_rule(advice: str) -> Callable[[Callable[[RuleSubject], Iterator[LintFinding]]], LintRule[RuleSubject]]:
    """Make the function a rule whose findings are only shown."""
    return lambda find: _build_rule(find, Severity.WARNING, advice)


def _build_rule(
    find: Callable[[RuleSubject], Iterator[LintFinding]], severity: Severity, advice: str
) -> LintRule[RuleSubject]:
    return LintRule(
        code=find.__name__, severity=severity, meaning=(find.__doc__ or "").strip(), advice=advice, find=find
    )


def list_rules(*modules: ModuleType) -> tuple[LintRule[Any], ...]:
    """List the rules that these modules define, in their order."""
    return tuple(rule for module in modules for rule in vars(module).values() if isinstance(rule, LintRule))
