"""Why a mail could not be rendered: the fault that people who edit templates are shown."""

from enum import StrEnum

import msgspec


class FaultCode(StrEnum):
    """The kind of a fault; the values are public and never change."""

    FAILED = "template_failed"
    FORBIDDEN = "template_forbidden"  # it uses what templates may not use
    TOO_SLOW = "template_too_slow"
    TOO_LARGE = "template_too_large"


class RenderFault(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why a mail could not be rendered, for the people who edit templates."""

    part: str  # the file that is at fault, such as body.html or _layouts/base.html, or `mail`
    line: int | None  # from 1; None: it is not known, or it is the whole file
    message: str
    column: int | None = None  # from 1
    advice: str = ""  # what to do about it
    code: FaultCode = FaultCode.FAILED

    def __str__(self) -> str:
        place = self.part
        if self.line:
            place += f", line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{place}: {self.message}" + (f" {self.advice}" if self.advice else "")
