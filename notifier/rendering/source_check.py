"""What a rendering child does for publishing: check a template's source, and compare a mail between two versions.

A check compiles the source, renders its sample in every locale and runs the lint rules. A comparison says what differs,
and never contains a whole mail; diffs are made only on request, and are bounded.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from notifier.mail.header_fields import HeaderValueError
from notifier.mail.limits import OutputTooLargeError, TooSlowError
from notifier.mail.mail_parts import Mailbox, MailHeader, RenderedParts
from notifier.mail.mime_document import NulInPartError, build_mime_message
from notifier.rendering.line_diff import DiffBudget
from notifier.rendering.protocol import MailComparison, MailVariables, SourceCheck
from notifier.template_language import variable_schema as variable
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError, describe_error_without_place
from notifier.template_language.template_source import (
    HTML,
    LOCALES,
    SUBJECT,
    TEXT,
    FaultCode,
    RenderFault,
    TemplateSource,
)
from notifier.template_language.variable_schema import VARIABLES_DECODER
from notifier.template_language.variable_usage import VariableUsage, analyze_variables, list_subject_paths
from notifier.template_lint.inheritance import find_lost_content
from notifier.template_lint.lint_report import lint_source
from notifier.template_lint.lint_rule import SampleMail
from notifier.template_lint.source_rules import CheckedSource

if TYPE_CHECKING:
    from notifier.template_lint.lint_remark import LintRemark

MAX_FAULTS = 20
"""Faults after which no more are searched."""
COMPARED_PARTS = ("subject", "html", "text")
MAX_DIFF_LINES, MAX_LINE_LENGTH = 200, 400
"""Lines, and characters of a line, of the diff of one part."""
CONTEXT_LINES = 2  # lines around a change

_HEADER = MailHeader(
    message_id="<check@example.org>",
    date=datetime(2026, 1, 1, tzinfo=UTC),
    sender=Mailbox("sender@example.org"),
    recipient="to@example.org",
)


def compare_versions(
    before: CompiledVersion | None, after: CompiledVersion | None, payload: MailVariables, *, with_diffs: bool
) -> MailComparison:
    """Render one mail with both versions and compare the parts; None stands for a version that does not exist."""
    old, new = _render_preview(before, payload), _render_preview(after, payload)
    if not isinstance(old, RenderedParts) or not isinstance(new, RenderedParts):
        return MailComparison(
            before=old if isinstance(old, RenderFault) else None, after=new if isinstance(new, RenderFault) else None
        )
    parts = {name: (getattr(old, name), getattr(new, name)) for name in COMPARED_PARTS}
    differing = {name: texts for name, texts in parts.items() if texts[0] != texts[1]}
    return MailComparison(
        changed=list(differing),
        shape=[count for texts in differing.values() for count in _measure_change(*texts)],
        diffs={name: diff_texts(*texts) for name, texts in differing.items()} if with_diffs else {},
    )


def _render_preview(version: CompiledVersion | None, payload: MailVariables) -> RenderedParts | RenderFault | None:
    """Return the parts of the mail, or the fault because of which it cannot be made."""
    if version is None:
        return None
    try:
        values = VARIABLES_DECODER.decode(payload.variables)
        parts = version.render(payload.locale, values)
        build_mime_message(version.add_unsubscribe_header(_HEADER, values), parts)
    except Exception as error:  # noqa: BLE001 - one bad mail must not stop the others
        return describe_mail_error(error)
    return parts


def describe_mail_error(error: Exception) -> RenderFault:
    """Describe why a mail could not be made, for the people who edit templates."""
    if isinstance(error, PartError):
        return error.fault
    if isinstance(error, (HeaderValueError, NulInPartError)):
        return RenderFault(part="mail", line=None, message=str(error))
    if isinstance(error, UnicodeError):
        advice = "Look for \\ud… in the template and in the values, and write the character itself."
        return RenderFault(part="mail", line=None, message="there is half a character in it.", advice=advice)
    if isinstance(error, (RecursionError, MemoryError, OutputTooLargeError, TooSlowError)):
        return describe_error_without_place(error, "mail")
    advice = f"Tell who runs Notifier that it was “{type(error).__name__}”."
    return RenderFault(part="mail", line=None, message="the mail could not be put together.", advice=advice)


def _measure_change(old: str, new: str) -> tuple[int, int]:
    """Count the lines of each text from the first difference to the last."""
    mine, theirs = old.split("\n"), new.split("\n")
    least = min(len(mine), len(theirs))
    first = next((n for n in range(least) if mine[n] != theirs[n]), least)
    last = next((n for n in range(least - first) if mine[-1 - n] != theirs[-1 - n]), least - first)
    return len(mine) - first - last, len(theirs) - first - last


def diff_texts(old: str, new: str) -> str:
    """Return a unified diff of two texts, cut if it is too long to read."""
    lines = DiffBudget(size=None).unified(old.splitlines(), new.splitlines(), ("published", "draft"), CONTEXT_LINES)
    excerpt = lines[: MAX_DIFF_LINES + 1]
    if len(excerpt) > MAX_DIFF_LINES:
        excerpt[MAX_DIFF_LINES:] = ["…"]
    return "\n".join(line if len(line) <= MAX_LINE_LENGTH else line[:MAX_LINE_LENGTH] + "…" for line in excerpt)


def check_source(source: TemplateSource, public_url: str | None = None) -> SourceCheck:
    """Compile every part and render the sample in every locale, with and without the optional variables.

    Every exception that the source causes in our own code becomes a fault.
    """
    try:
        return _check_parts(source, public_url)
    except Exception as error:  # noqa: BLE001 - every error of the template becomes a fault
        faults = [describe_mail_error(error)]
    return SourceCheck(faults=faults, remarks=[], variables_schema={}, subject_paths=[], previews={})


def _check_parts(source: TemplateSource, public_url: str | None) -> SourceCheck:
    sample_run = _SampleRun(source, _find_static_faults(source))
    remarks: list[LintRemark] = []
    paths: list[list[str]] = []
    usage = _analyze_variables(source)
    try:
        if not sample_run.faults:
            version = CompiledVersion(source, public_url, keeps_raw_values=True)
            sample_run.faults += version.find_image_faults()
        if not sample_run.faults:
            sample_run.render_samples(version, _list_samples(source, usage.optional))
            sample_run.add_faults(*find_lost_content(source))
        if not sample_run.faults:
            paths = list_subject_paths(source)
            whole = CheckedSource(source=source, variables=usage, raw_values=version.raw_values or ())
            remarks = lint_source(whole, sample_run.mails)
    except PartError as error:
        sample_run.add_faults(error.fault)
    except Exception as error:  # noqa: BLE001 - every error of the template becomes a fault
        sample_run.add_faults(describe_mail_error(error))
    return SourceCheck(
        faults=sample_run.faults,
        remarks=remarks,
        variables_schema=usage.schema,
        subject_paths=paths,
        previews=sample_run.previews,
    )


class _SampleRun:
    """Renders the sample in every locale, and collects the mails and their faults."""

    def __init__(self, source: TemplateSource, faults: list[RenderFault]) -> None:
        self.faults = faults
        self.mails: list[SampleMail] = []
        self.previews: dict[str, RenderedParts] = {}
        self._source = source

    def render_samples(self, version: CompiledVersion, samples: Sequence[dict[str, Any]]) -> None:
        """Render the samples in all locales, until there are enough faults."""
        for tag in (None, *self._source.locales):
            for values in samples:
                try:
                    self._try(version, tag, values)
                except PartError as error:
                    self.add_faults(error.fault)
                    if not self._is_enough():
                        self.add_faults(*version.find_faults(tag, values))
                    break
            if self._is_enough():
                break

    def add_faults(self, *faults: RenderFault) -> None:
        """Add faults, each once: a fault of a shared file comes up in every part and locale."""
        for fault in faults:
            if fault not in self.faults:
                self.faults.append(fault)

    def _try(self, version: CompiledVersion, tag: str | None, values: dict[str, Any]) -> None:
        rendered = version.render(tag, dict(values))  # first, so that compiling counts as where it is sent
        unstyled = version.render_unstyled(tag, dict(values))
        build_mime_message(_HEADER, rendered)
        self.mails.append(
            SampleMail(
                source=self._source,
                tag=tag,
                values=values,
                subject=unstyled.subject,
                html=unstyled.html,
                text=unstyled.text,
                sent_html=rendered.html,
            )
        )
        self.previews.setdefault(tag or self._source.settings.locale, rendered)

    def _is_enough(self) -> bool:
        return len(self.faults) >= MAX_FAULTS or any(fault.code is FaultCode.TOO_SLOW for fault in self.faults)


def _analyze_variables(source: TemplateSource) -> VariableUsage:
    """Analyze the variables; for a source that cannot be parsed, use its sample and settings."""
    try:
        return analyze_variables(source)
    except Exception:  # noqa: BLE001 - Python's own errors as well
        optional = [*source.settings.optional]
        schema = variable.build_schema(source.sample, optional)
        return VariableUsage(schema=schema, optional=optional, undefined=[], unused=[], unmatched=[])


def _find_static_faults(source: TemplateSource) -> list[RenderFault]:
    """Find the missing parts, which needs no rendering."""
    faults = []
    for prefix in ("", *(f"{LOCALES}{tag}/" for tag in source.locales)):
        required = [SUBJECT, HTML] + ([TEXT] if TEXT in source.files else [])
        faults += [
            RenderFault(part=f"{prefix}{part}", line=None, message="this part is missing")
            for part in required
            if f"{prefix}{part}" not in source.files
        ]
    return faults


def _list_samples(source: TemplateSource, optional: Iterable[str]) -> list[dict[str, Any]]:
    """List the sample, and the sample without all optional variables if that is different."""
    values = source.sample_values
    shortest = variable.remove_optional(values, optional)
    return [values] if shortest == values else [values, shortest]
