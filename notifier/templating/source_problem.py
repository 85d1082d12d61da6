"""What is wrong with a template's files: which file, which line, and a sentence for whoever wrote it."""

from collections.abc import Sequence
from dataclasses import dataclass

from notifier.errors import TemplateError


@dataclass(frozen=True, kw_only=True)
class SourceProblem:
    """One thing that is wrong, before anything is compiled."""

    file: str  # within the template, or `_layouts/…`; empty: the template as a whole
    message: str
    line: int | None = None  # from 1
    key: str = ""  # of the settings

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}: {self.message}" if place else self.message


class TemplateFileError(TemplateError):
    """The files of a template cannot be read as one."""

    def __init__(self, slug: str, found: Sequence[SourceProblem]) -> None:
        self.source_problems = tuple(found)
        super().__init__(slug, [str(problem) for problem in found])
