"""What a lint rule is: a function over one sample mail or over the whole source, with a severity and advice.

A rule's code is its function's name and never changes; its meaning is the function's docstring.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, TypeVar

from notifier.rendering.job import Severity
from notifier.rendering.lint.css import Sheet, sheet_of
from notifier.rendering.lint.document import Document, parse
from notifier.rendering.source import HTML, LOCALES, TemplateSource


class Only(StrEnum):
    """The origin that a finding needs to count."""

    VALUE = "value"  # a variable's value; a finding of unknown origin does not count
    TEXT = "text"  # the source's own text; a finding of unknown origin counts


@dataclass(frozen=True, kw_only=True)
class Found:
    """A place that a rule complains about."""

    message: str  # a sentence
    part: str = HTML
    offset: int | None = None  # in the rendered part; None: the whole part
    about: str = ""  # distinguishes findings of one rule on one line
    value: str | None = None  # a text that may come from the sample
    only: Only | None = None
    file: str | None = None  # for a finding that is not in a rendered part
    line: int | None = None  # in that file


@dataclass(frozen=True)
class Mail:
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
    def document(self) -> Document:
        """The HTML, parsed."""
        return parse(self.html)

    @cached_property
    def sheet(self) -> Sheet:
        """The CSS in it."""
        return sheet_of(self.document)


Seen = TypeVar("Seen")


@dataclass(frozen=True, kw_only=True)
class Rule(Generic[Seen]):
    """One rule."""

    code: str
    severity: Severity
    meaning: str
    advice: str
    find: Callable[[Seen], Iterator[Found]]


def error(advice: str) -> Callable[[Callable[[Seen], Iterator[Found]]], Rule[Seen]]:
    """Make the function a rule whose findings keep a draft from being published."""
    return lambda find: _rule(find, Severity.ERROR, advice)


def warning(advice: str) -> Callable[[Callable[[Seen], Iterator[Found]]], Rule[Seen]]:
    """Make the function a rule whose findings are only shown."""
    return lambda find: _rule(find, Severity.WARNING, advice)


def _rule(find: Callable[[Seen], Iterator[Found]], severity: Severity, advice: str) -> Rule[Seen]:
    return Rule(code=find.__name__, severity=severity, meaning=(find.__doc__ or "").strip(), advice=advice, find=find)
