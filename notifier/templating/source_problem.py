"""Problems of a template's source: which file, which line, and a sentence for its author."""

from collections.abc import Sequence
from dataclasses import dataclass

from notifier.errors import TemplateError


@dataclass(frozen=True, kw_only=True)
class SourceProblem:
    """A problem that is found before anything is compiled."""

    file: str  # within the template, or `_layouts/…`; empty: the template as a whole
    message: str
    line: int | None = None  # from 1
    key: str = ""  # of the settings

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.message}" if place else self.message


class TemplateFileError(TemplateError):
    """The files cannot be read as a template."""

    def __init__(self, slug: str, problems: Sequence[SourceProblem]) -> None:
        self.source_problems = tuple(problems)
        super().__init__(slug, [str(problem) for problem in problems])
