"""Where in the source a place of a rendered part comes from.

The sample is rendered once more with a mark before each line of text and each expression, and the marks are taken
out again. Where that leaves something else than the plain rendering, because a template counts or compares what it
writes, no place is told rather than a wrong one.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jinja2 import Template, nodes
from jinja2.compiler import Frame

from notifier.template_language.code_generator import MailCodeGenerator
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.render_fault import PartError
from notifier.template_language.sandbox import MailEnvironment
from notifier.template_language.template_source import HTML, SUBJECT, TemplateSource
from notifier.template_lint.lint_rule import SampleMail

FIRST_MARK: Final = 0xF0000
"""Marks are single characters of the plane that Unicode leaves to private use: the n-th one is the n-th origin."""
MAX_MARKS: Final = 0xFFFD
_MARK = re.compile(f"[{chr(FIRST_MARK)}-{chr(FIRST_MARK + MAX_MARKS)}]")


class SourceOrigin(NamedTuple):
    """A place in the source."""

    file: str
    line: int  # from 1
    is_value: bool  # an expression's value, and not the text of the source


class MarkingCodeGenerator(MailCodeGenerator):
    """Write a mark before each line of text and each expression; by then values have been guarded where they stand."""

    origins: dict[SourceOrigin, int]  # each with the number of its mark

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """The pieces with marks in between."""
        pieces: list[nodes.Expr] = []
        for child in node.nodes:
            if isinstance(child, nodes.TemplateData):
                lines = enumerate(child.data.split("\n"), start=child.lineno)
                marked = (self._mark(number, is_value=False) + line for number, line in lines)
                pieces.append(nodes.TemplateData("\n".join(marked), lineno=child.lineno))
            else:
                first = min(inner.lineno for inner in (child, *child.find_all(nodes.Node)) if inner.lineno)
                pieces += [nodes.TemplateData(self._mark(first, is_value=True), lineno=first), child]
        super().visit_Output(nodes.Output(pieces, lineno=node.lineno), frame)

    def _mark(self, line: int, *, is_value: bool) -> str:
        number = self.origins.setdefault(SourceOrigin(self.name or "", line, is_value), len(self.origins))
        return chr(FIRST_MARK + min(number, MAX_MARKS))


class MarkedPart(NamedTuple):
    """A part without its marks, and where they stood."""

    text: str
    starts: list[int]  # in the text, ascending
    origins: list[SourceOrigin]  # of what begins there

    def find_origin(self, offset: int) -> SourceOrigin | None:
        """Where the character at an offset comes from."""
        found = bisect_right(self.starts, offset) - 1
        return self.origins[found] if found >= 0 else None


class MarkedVersion(CompiledVersion):
    """A version that renders as any other, and remembers where each part's text came from."""

    def __init__(self, source: TemplateSource) -> None:
        super().__init__(source)
        self.marked: dict[str, MarkedPart] = {}  # of the last rendering, by part
        self._origins: dict[SourceOrigin, int] = {}
        self._generator = type("Generator", (MarkingCodeGenerator,), {"origins": self._origins})

    def _environment(
        self, tag: str | None, *, autoescape: bool, files: Mapping[str, str] | None = None
    ) -> MailEnvironment:
        env = super()._environment(tag, autoescape=autoescape, files=files)
        env.code_generator_class = self._generator
        return env

    def _run(self, parts: dict[str, Template], part: str, values: dict[str, Any]) -> str:
        self.marked[part] = _remove_marks(super()._run(parts, part, values), [*self._origins])
        return self.marked[part].text


def _remove_marks(written: str, known: list[SourceOrigin]) -> MarkedPart:
    """Take out the marks of the known origins; other characters of that plane are the template's."""
    pieces, starts, origins, size, begin = [], [], [], 0, 0
    for mark in _MARK.finditer(written):
        number = ord(mark[0]) - FIRST_MARK
        if number < len(known):
            pieces.append(written[begin : mark.start()])
            size += mark.start() - begin
            begin = mark.end()
            starts.append(size)
            origins.append(known[number])
    return MarkedPart("".join([*pieces, written[begin:]]), starts, origins)


class OriginFinder:
    """The origins of a source's renderings; nothing is rendered again before one is asked for."""

    def __init__(self, source: TemplateSource) -> None:
        self._source = source
        self._version: MarkedVersion | None = None
        self._known: dict[int, dict[str, MarkedPart]] = {}  # by the identity of the mail

    def find_origin(self, mail: SampleMail, part: str, offset: int) -> SourceOrigin | None:
        """Where a place of a mail's part comes from; None if that is not known."""
        marked = self.get_marked_part(mail, part)
        return marked.find_origin(offset) if marked else None

    def get_marked_part(self, mail: SampleMail, part: str) -> MarkedPart | None:
        """A mail's part with all its origins; None if they are not known."""
        if id(mail) not in self._known:
            self._known[id(mail)] = self._rendered(mail)
        return self._known[id(mail)].get(part)

    def _rendered(self, mail: SampleMail) -> dict[str, MarkedPart]:
        if self._version is None:
            self._version = MarkedVersion(self._source)
        self._version.marked = {}
        try:
            written = self._version.render_unstyled(mail.tag, dict(mail.values))
        except PartError:
            return {}
        kept = self._version.marked
        plain = {SUBJECT: mail.subject, HTML: mail.html}
        same = {part: marked for part, marked in kept.items() if marked.text == plain.get(part, mail.text)}
        if SUBJECT in kept and written.subject == mail.subject:
            same[SUBJECT] = kept[SUBJECT]  # the mail's has no blanks around it, which moves at most the first place
        return same
