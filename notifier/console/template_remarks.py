"""What is wrong with a template, or could be better, as its editor shows it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from notifier.console.template_form import word_part
from notifier.template_language.template_source import RenderFault
from notifier.template_lint.lint_remark import LintRemark, Severity


@dataclass(frozen=True, kw_only=True)
class EditorRemark:
    """A remark, with its place in a part."""

    file: str
    line: int | None
    severity: Severity
    message: str
    advice: str

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return f"{word_part(self.file)}, line {self.line}" if self.line else word_part(self.file)

    @property
    def sentence(self) -> str:
        """What is wrong, as a sentence."""
        return self.message[:1].upper() + self.message[1:]


def list_remarks(faults: Iterable[RenderFault], remarks: Iterable[LintRemark] = ()) -> list[EditorRemark]:
    """List faults and remarks, each once, with what must be mended first."""
    of_faults = [
        EditorRemark(
            file=fault.part, line=fault.line, severity=Severity.ERROR, message=fault.message, advice=fault.advice
        )
        for fault in faults
    ]
    of_rules = [
        EditorRemark(
            file=remark.file, line=remark.line, severity=remark.severity, message=remark.message, advice=remark.advice
        )
        for remark in remarks
    ]
    return sorted(dict.fromkeys([*of_faults, *of_rules]), key=lambda remark: remark.severity is not Severity.ERROR)


def describe_faults(faults: Sequence[RenderFault]) -> str:
    """Describe in one sentence what must be mended before a draft can be published."""
    places = list(dict.fromkeys(remark.place for remark in list_remarks(faults)))
    others = len(places) - 1
    more = f" and {others} other {'place' if others == 1 else 'places'}" if others else ""
    return f"It cannot be published until this is mended: {places[0]}{more}."
