"""Find the place in the source from which a place of a rendered part comes.

The sample is rendered again with a mark before each line of text and each expression, and the marks are removed again.
If the result differs from the plain rendering, because the template counts or compares its output, no origin is given
instead of a wrong one (`docs/decisions/lint.md`).
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jinja2 import Template, nodes
from jinja2.compiler import Frame

from notifier.template_language.code_generator import MailCodeGenerator
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError
from notifier.template_language.sandbox import MailEnvironment
from notifier.template_language.template_source import HTML, SUBJECT, TemplateSource
from notifier.template_lint.lint_rule import SampleMail

FIRST_MARK: Final = 0xF0000
"""The first private-use character that serves as a mark; the n-th mark stands for the n-th origin."""
MAX_MARKS: Final = 0xFFFD
_MARK = re.compile(f"[{chr(FIRST_MARK)}-{chr(FIRST_MARK + MAX_MARKS)}]")


class SourceOrigin(NamedTuple):
    """A place in the source."""

    file: str
    line: int  # from 1
    is_value: bool  # True: the value of an expression; False: text of the source


class MarkingCodeGenerator(MailCodeGenerator):
    """Writes a mark before each line of text and each expression; it runs after values have been guarded."""

    origins: dict[SourceOrigin, int]  # each with the number of its mark

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Write the output with marks in between."""
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
    """A part without its marks, and the offsets where they stood."""

    text: str
    starts: list[int]  # offsets in the text, ascending
    origins: list[SourceOrigin]  # of the text that begins at each offset

    def find_origin(self, offset: int) -> SourceOrigin | None:
        """The origin of the character at an offset; None if it is not known."""
        index = bisect_right(self.starts, offset) - 1
        return self.origins[index] if index >= 0 else None


class MarkedVersion(CompiledVersion):
    """A compiled version that also remembers where the text of each part came from."""

    def __init__(self, source: TemplateSource) -> None:
        super().__init__(source)
        self.marked: dict[str, MarkedPart] = {}  # the last rendering, by part
        self._origins: dict[SourceOrigin, int] = {}
        self._generator = type("Generator", (MarkingCodeGenerator,), {"origins": self._origins})

    def _create_environment(
        self, tag: str | None, *, autoescape: bool, files: Mapping[str, str] | None = None
    ) -> MailEnvironment:
        env = super()._create_environment(tag, autoescape=autoescape, files=files)
        env.code_generator_class = self._generator
        return env

    def _render_part(self, parts: dict[str, Template], part: str, values: dict[str, Any]) -> str:
        self.marked[part] = _remove_marks(super()._render_part(parts, part, values), [*self._origins])
        return self.marked[part].text


def _remove_marks(written: str, known: list[SourceOrigin]) -> MarkedPart:
    """Remove the marks of the known origins; other private-use characters belong to the template."""
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
    """Finds origins in the renderings of a source; it renders again only when it is asked."""

    def __init__(self, source: TemplateSource) -> None:
        self._source = source
        self._version: MarkedVersion | None = None
        self._known: dict[int, dict[str, MarkedPart]] = {}  # by the identity of the mail

    def find_origin(self, mail: SampleMail, part: str, offset: int) -> SourceOrigin | None:
        """The origin of a place in a mail's part; None if it is not known."""
        marked = self.get_marked_part(mail, part)
        return marked.find_origin(offset) if marked else None

    def get_marked_part(self, mail: SampleMail, part: str) -> MarkedPart | None:
        """A mail's part with all its origins; None if the marked rendering differs."""
        if id(mail) not in self._known:
            self._known[id(mail)] = self._render_marked(mail)
        return self._known[id(mail)].get(part)

    def _render_marked(self, mail: SampleMail) -> dict[str, MarkedPart]:
        if self._version is None:
            self._version = MarkedVersion(self._source)
        self._version.marked = {}
        try:
            written = self._version.render_unstyled(mail.tag, dict(mail.values))
        except PartError:
            return {}
        marked_parts = self._version.marked
        plain = {SUBJECT: mail.subject, HTML: mail.html}
        same = {part: marked for part, marked in marked_parts.items() if marked.text == plain.get(part, mail.text)}
        if SUBJECT in marked_parts and written.subject == mail.subject:
            same[SUBJECT] = marked_parts[SUBJECT]  # the mail's is stripped, which moves at most the first place
        return same
