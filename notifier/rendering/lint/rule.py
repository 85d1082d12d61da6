"""What a rule is: a function over one rendered mail or over the whole source, with its severity and advice.

A rule's code is the function's name, and never changes; what it means is the function's docstring.
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
    """Where a place has to come from for a finding to count."""

    VALUE = "value"  # a variable's value; not known: it does not count
    TEXT = "text"  # the source itself; not known: it counts


@dataclass(frozen=True, kw_only=True)
class Found:
    """One place at which a rule applies."""

    message: str  # a sentence
    part: str = HTML
    offset: int | None = None  # in the rendered part; None: the whole of it
    about: str = ""  # tells findings of one rule in one line apart, so that both are told
    value: str | None = None  # what the sample may be to blame for
    only: Only | None = None
    file: str | None = None  # where no rendered part is meant
    line: int | None = None  # in that file


@dataclass(frozen=True)
class Mail:
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
    """One thing that is looked for."""

    code: str
    severity: Severity
    meaning: str
    advice: str
    find: Callable[[Seen], Iterator[Found]]


def error(advice: str) -> Callable[[Callable[[Seen], Iterator[Found]]], Rule[Seen]]:
    """Make a rule of a function; what it finds keeps a draft from being published."""
    return lambda find: _rule(find, Severity.ERROR, advice)


def warning(advice: str) -> Callable[[Callable[[Seen], Iterator[Found]]], Rule[Seen]]:
    """Make a rule of a function; what it finds is told, and nothing more."""
    return lambda find: _rule(find, Severity.WARNING, advice)


def _rule(find: Callable[[Seen], Iterator[Found]], severity: Severity, advice: str) -> Rule[Seen]:
    return Rule(code=find.__name__, severity=severity, meaning=(find.__doc__ or "").strip(), advice=advice, find=find)
