"""What a lint rule has to say about a template that renders."""

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """An error keeps a draft from being published, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


class LintRemark(msgspec.Struct, frozen=True, kw_only=True):
    """A remark about a template that renders."""

    severity: Severity
    code: str  # stable, such as image_without_alt
    file: str  # as in `TemplateSource.files`, or template.toml or sample.json
    line: int | None  # from 1
    message: str
    advice: str  # what to do about it
    locale: str | None = None  # None: all locales

    def __str__(self) -> str:
        place = f"{self.file}, line {self.line}" if self.line else self.file
        return f"{place}{f' ({self.locale})' if self.locale else ''}: {self.message} {self.advice}".rstrip()
