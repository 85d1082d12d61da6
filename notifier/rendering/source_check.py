"""Check a template's source before publishing: compile it, render its sample in every locale, run the lint rules."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from notifier.mail.mail_parts import Mailbox, MailHeader, RenderedParts
from notifier.mail.mime_document import build_mime_message
from notifier.rendering.protocol import SourceCheck
from notifier.rendering.version_comparison import describe_mail_error
from notifier.template_language import variable_schema as variable
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError
from notifier.template_language.template_source import (
    HTML,
    LOCALES,
    SUBJECT,
    TEXT,
    FaultCode,
    RenderFault,
    TemplateSource,
)
from notifier.template_language.variable_usage import VariableUsage, analyze_variables, list_subject_paths
from notifier.template_lint.inheritance import find_lost_content
from notifier.template_lint.lint_report import lint_source
from notifier.template_lint.lint_rule import SampleMail
from notifier.template_lint.source_rules import CheckedSource

if TYPE_CHECKING:
    from notifier.template_lint.lint_remark import LintRemark

MAX_FAULTS = 20
"""Faults after which no more are searched."""


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
        build_mime_message(_build_sample_header(), rendered)
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
    """What is known about the variables; for a source that cannot be parsed, what sample and settings say."""
    try:
        return analyze_variables(source)
    except Exception:  # noqa: BLE001 - of Python's too: see `_check`
        optional = [*source.settings.optional]
        schema = variable.build_schema(source.sample, optional)
        return VariableUsage(schema=schema, optional=optional, undefined=[], unused=[], unmatched=[])


def _find_static_faults(source: TemplateSource) -> list[RenderFault]:
    """Faults that can be seen without rendering: missing parts."""
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
    """The sample, and the sample without all optional variables if that is different."""
    values = source.sample_values
    shortest = variable.remove_optional(values, optional)
    return [values] if shortest == values else [values, shortest]


def _build_sample_header() -> MailHeader:
    """A header for the sample's mail."""
    from_box = Mailbox("sender@example.org")
    moment = msgspec.convert("2026-01-01T00:00:00Z", type=MailHeader.__annotations__["date"])
    return MailHeader(message_id="<check@example.org>", date=moment, sender=from_box, recipient="to@example.org")
