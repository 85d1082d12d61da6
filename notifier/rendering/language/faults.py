"""Errors of a template as faults that people without programming can act on: file, line, cause and advice.

A fault never contains a caller's value: its readers may not be allowed to see it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from jinja2 import TemplateNotFound, TemplateSyntaxError
from jinja2.exceptions import SecurityError

from notifier.rendering.job import FaultCode, RenderFault
from notifier.rendering.language.computing import ANYTHING_ELSE, COMPUTING, UNREADABLE
from notifier.rendering.language.contexts import ForbiddenError
from notifier.rendering.language.filters import ValueRefusedError
from notifier.rendering.language.methods import MisusedError
from notifier.rendering.language.mistakes import OWN_WORDS, READING, Mistake, Place
from notifier.rendering.language.sandbox import FILTERS
from notifier.rendering.language.size_limit import OutputTooLargeError
from notifier.rendering.language.time_limit import PART_SECONDS, TooSlowError
from notifier.rendering.language.value_text import NotShowableError
from notifier.rendering.language.writing import WRITING
from notifier.rendering.source import TemplateSource


class PartError(Exception):
    """A part of a template failed; `fault` says where and why."""

    def __init__(self, fault: RenderFault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def fault_of(error: BaseException, name: str, source: TemplateSource) -> RenderFault:
    """Describe an error with its file, line and column; `name` is the file whose rendering was started."""
    file, line = _place_of(error, name, source.files)
    text = source.files.get(file, "")
    known = sorted(set(_names(source.sample)))
    place = Place(text=text, line=line, names=known, filters=FILTERS, files=source.files)
    mistake = _mistake_of(error, place)
    line = mistake.line or line
    return RenderFault(
        part=file,
        line=line,
        column=find_column(text, line, mistake.near),
        message=mistake.message,
        advice=mistake.advice,
        code=_code_of(error),
    )


def fault_without_place(error: BaseException, part: str) -> RenderFault:
    """Describe an error that no line of a template has caused."""
    mistake = _mistake_of(error, Place(text="", line=None, names=[], filters=(), files={}))
    return RenderFault(part=part, line=None, message=mistake.message, advice=mistake.advice, code=_code_of(error))


def _place_of(error: BaseException, name: str, files: Mapping[str, str]) -> tuple[str, int | None]:
    """File and line of the innermost template that was running, or that did not compile."""
    if isinstance(error, TemplateSyntaxError):
        return error.name or name, error.lineno
    file, line, trace = name, None, error.__traceback__
    while trace is not None:
        called = trace.tb_frame.f_code.co_filename  # Jinja rewrites the traceback to files and lines of templates
        if called in files:
            file, line = called, trace.tb_lineno
        trace = trace.tb_next
    return file, line


def _names(value: Any) -> Iterator[str]:
    """Every name in the values, also inside objects and lists."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _mistake_of(error: BaseException, place: Place) -> Mistake:
    """The explanation by the error's type or message; Python's own message is never shown."""
    for kind, tell in _KINDS:
        if isinstance(error, kind):
            return tell(error, place)
    text = getattr(error, "message", None) or str(error)
    for pattern, words in WRITING + READING + COMPUTING:
        if match := pattern.search(text):
            return words(match, place)
    return UNREADABLE if isinstance(error, TemplateSyntaxError) else ANYTHING_ELSE


def _not_found(error: BaseException, place: Place) -> Mistake:
    name = getattr(error, "name", None)
    if not isinstance(name, str) or name not in place.source:  # a caller's value was the name
        return Mistake(message="there is no file of this name.", advice="Write the file's name in quotes.", near="{%")
    similar = get_close_matches(name, list(place.files), n=1)
    advice = f"Did you mean “{similar[0]}”?" if similar else "Check its name, or add the file."
    return Mistake(message=f"there is no file “{name}”.", advice=advice, near=name)


def _refused(error: BaseException, place: Place) -> Mistake:
    text = getattr(error, "message", None) or str(error)
    for pattern, words in OWN_WORDS:
        if match := pattern.search(text):
            return words(match, place)
    return Mistake(
        message="this reaches for something that templates may not have.",
        advice="Use variables, filters and macros only.",
    )


def _too_much(error: BaseException, _: Place) -> Mistake:
    if isinstance(error, OutputTooLargeError):
        return Mistake(message=error.message, advice="Show less, or loop over less.")
    return Mistake(message="this takes more memory than a mail may use.", advice="Show less, or loop over less.")


def _too_slow(_: BaseException, __: Place) -> Mistake:
    return Mistake(
        message=f"the mail was still being written here after {PART_SECONDS:g} s.",
        advice="Look for a loop inside a loop, or a list that grows, and show less.",
    )


def _for_ever(_: BaseException, __: Place) -> Mistake:
    return Mistake(
        message="a macro, block or file uses itself again and again, without an end, or brackets stand too deep.",
        advice="Take it out of itself.",
    )


def _told(error: BaseException, _: Place) -> Mistake:
    """An error that carries its own explanation."""
    near = getattr(error, "name", "") if isinstance(error, _NAMED) else ""
    return Mistake(message=getattr(error, "message", ""), advice=getattr(error, "advice", ""), near=near)


_NAMED = (ValueRefusedError, MisusedError, NotShowableError)
_KINDS: tuple[tuple[type[BaseException], Callable[[BaseException, Place], Mistake]], ...] = (
    (TemplateNotFound, _not_found),
    (ForbiddenError, _told),
    (ValueRefusedError, _told),
    (MisusedError, _told),
    (NotShowableError, _told),
    (SecurityError, _refused),
    (OutputTooLargeError, _too_much),
    (MemoryError, _too_much),
    (RecursionError, _for_ever),
    (TooSlowError, _too_slow),
)
_CODES: tuple[tuple[type[BaseException], FaultCode], ...] = (
    (SecurityError, FaultCode.FORBIDDEN),
    (ForbiddenError, FaultCode.FORBIDDEN),
    (OutputTooLargeError, FaultCode.TOO_LARGE),
    (MemoryError, FaultCode.TOO_LARGE),
    (RecursionError, FaultCode.TOO_LARGE),
    (OverflowError, FaultCode.TOO_LARGE),
    (TooSlowError, FaultCode.TOO_SLOW),
)


def _code_of(error: BaseException) -> FaultCode:
    if re.match(r"No (?:filter|test) named '(?:attr|safe|format|map|tojson|xmlattr|pprint|filter|test)'", str(error)):
        return FaultCode.FORBIDDEN
    return next((code for kind, code in _CODES if isinstance(error, kind)), FaultCode.FAILED)


def find_column(text: str, line: int | None, near: str) -> int | None:
    """The column (from 1) where `near` first stands on the line; None if it is not there."""
    if not line or not near:
        return None
    lines = text.split("\n")  # as Jinja counts lines
    if line > len(lines):
        return None
    position = lines[line - 1].find(near)
    return position + 1 if position >= 0 else None
