"""Describe errors of a template so that people who do not program can act on them: file, line, cause and advice.

A fault never contains a caller's value, because its readers may not be allowed to see it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from jinja2 import TemplateNotFound, TemplateSyntaxError
from jinja2.exceptions import SecurityError

from notifier.mail.limits import MAX_PART_SECONDS, OutputTooLargeError, TooSlowError
from notifier.template_language.contextual_escaping import ForbiddenTemplateError
from notifier.template_language.error_tables import (
    EXPRESSION_ERRORS,
    SYNTAX_ERRORS,
    UNKNOWN_ERROR,
    UNKNOWN_SYNTAX_ERROR,
)
from notifier.template_language.filters import ValueRefusedError
from notifier.template_language.sandbox import TEMPLATE_FILTERS
from notifier.template_language.template_source import FaultCode, RenderFault, TemplateSource
from notifier.template_language.template_values import MisusedError, NotShowableError
from notifier.template_language.undefined_errors import SANDBOX_ERRORS, UNDEFINED_ERRORS, ErrorExplanation, ErrorPlace


class PartError(Exception):
    """A part of a template failed; `fault` says where and why."""

    def __init__(self, fault: RenderFault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def describe_error(error: BaseException, name: str, source: TemplateSource) -> RenderFault:
    """Describe an error with its file, line and column; `name` is the file whose rendering was started."""
    file, line = _find_place(error, name, source.files)
    text = source.files.get(file, "")
    known = sorted(set(_list_names(source.sample)))
    place = ErrorPlace(text=text, line=line, names=known, filters=TEMPLATE_FILTERS, files=source.files)
    mistake = _explain_error(error, place)
    line = mistake.line or line
    return RenderFault(
        part=file,
        line=line,
        column=find_column(text, line, mistake.near),
        message=mistake.message,
        advice=mistake.advice,
        code=_get_code(error),
    )


def describe_error_without_place(error: BaseException, part: str) -> RenderFault:
    """Describe an error that was not caused by a line of a template."""
    mistake = _explain_error(error, ErrorPlace(text="", line=None, names=[], filters=(), files={}))
    return RenderFault(part=part, line=None, message=mistake.message, advice=mistake.advice, code=_get_code(error))


def _find_place(error: BaseException, name: str, files: Mapping[str, str]) -> tuple[str, int | None]:
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


def _list_names(value: Any) -> Iterator[str]:
    """Every name in the values, also inside objects and lists."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _list_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _list_names(inner)


def _explain_error(error: BaseException, place: ErrorPlace) -> ErrorExplanation:
    """The explanation by the error's type or message; Python's own message is never shown."""
    for kind, explain in _EXPLAINERS:
        if isinstance(error, kind):
            return explain if isinstance(explain, ErrorExplanation) else explain(error, place)
    text = getattr(error, "message", None) or str(error)
    for pattern, words in SYNTAX_ERRORS + UNDEFINED_ERRORS + EXPRESSION_ERRORS:
        if match := pattern.search(text):
            return words(match, place)
    return UNKNOWN_SYNTAX_ERROR if isinstance(error, TemplateSyntaxError) else UNKNOWN_ERROR


def _explain_missing_file(error: BaseException, place: ErrorPlace) -> ErrorExplanation:
    name = getattr(error, "name", None)
    if not isinstance(name, str) or name not in place.source:  # a caller's value was the name
        return ErrorExplanation("there is no file of this name.", "Write the file's name in quotes.", "{%")
    similar = get_close_matches(name, list(place.files), n=1)
    advice = f"Did you mean “{similar[0]}”?" if similar else "Check its name, or add the file."
    return ErrorExplanation(f"there is no file “{name}”.", advice, name)


def _explain_refusal(error: BaseException, place: ErrorPlace) -> ErrorExplanation:
    text = getattr(error, "message", None) or str(error)
    for pattern, words in SANDBOX_ERRORS:
        if match := pattern.search(text):
            return words(match, place)
    return ErrorExplanation(
        "this reaches for something that templates may not have.", "Use variables, filters and macros only."
    )


def _explain_own(error: BaseException, _: ErrorPlace) -> ErrorExplanation:
    """An error that has its own explanation."""
    near = "" if isinstance(error, ForbiddenTemplateError) else getattr(error, "name", "")
    return ErrorExplanation(getattr(error, "message", ""), getattr(error, "advice", ""), near)


_SHOW_LESS = "Show less, or loop over less."
_EXPLAINERS: tuple[
    tuple[type[BaseException], Callable[[BaseException, ErrorPlace], ErrorExplanation] | ErrorExplanation], ...
] = (
    (TemplateNotFound, _explain_missing_file),
    (ForbiddenTemplateError, _explain_own),
    (ValueRefusedError, _explain_own),
    (MisusedError, _explain_own),
    (NotShowableError, _explain_own),
    (SecurityError, _explain_refusal),
    (OutputTooLargeError, lambda error, _: ErrorExplanation(str(error), _SHOW_LESS)),
    (MemoryError, ErrorExplanation("this takes more memory than a mail may use.", _SHOW_LESS)),
    (
        RecursionError,
        ErrorExplanation(
            "a macro, block or file uses itself again and again, without an end, or brackets stand too deep.",
            "Take it out of itself.",
        ),
    ),
    (
        TooSlowError,
        ErrorExplanation(
            f"the mail was still being written here after {MAX_PART_SECONDS:g} s.",
            "Look for a loop inside a loop, or a list that grows, and show less.",
        ),
    ),
)
_CODES: Mapping[FaultCode, tuple[type[BaseException], ...]] = {
    FaultCode.FORBIDDEN: (SecurityError, ForbiddenTemplateError),
    FaultCode.TOO_LARGE: (OutputTooLargeError, MemoryError, RecursionError, OverflowError),
    FaultCode.TOO_SLOW: (TooSlowError,),
}


def _get_code(error: BaseException) -> FaultCode:
    if re.match(r"No (?:filter|test) named '(?:attr|safe|format|map|tojson|xmlattr|pprint|filter|test)'", str(error)):
        return FaultCode.FORBIDDEN
    return next((code for code, kinds in _CODES.items() if isinstance(error, kinds)), FaultCode.FAILED)


def find_column(text: str, line: int | None, near: str) -> int | None:
    """The column (from 1) of the first `near` on the line; None if it is not there."""
    if not line or not near:
        return None
    lines = text.split("\n")  # as Jinja counts lines
    if line > len(lines):
        return None
    position = lines[line - 1].find(near)
    return position + 1 if position >= 0 else None
