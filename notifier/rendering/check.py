"""Check a template's source before publishing: compile it, render its sample in every locale, run the lint rules."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from notifier.rendering import variables as variable
from notifier.rendering.compare import fault_in_mail
from notifier.rendering.inheritance import find_dropped
from notifier.rendering.job import Checked, FaultCode, Mailbox, MailHeader, Preview, Remark, RenderFault
from notifier.rendering.language.faults import PartError
from notifier.rendering.lint.promise import Whole
from notifier.rendering.lint.report import remarks_on
from notifier.rendering.lint.rule import Mail
from notifier.rendering.mime import compose
from notifier.rendering.source import HTML, LOCALES, SUBJECT, TEXT, TemplateSource
from notifier.rendering.usage import Variables, variables_of
from notifier.rendering.version import CompiledVersion

ENOUGH = 20
"""Faults after which no more are searched."""


def check(source: TemplateSource, public_url: str | None = None) -> Checked:
    """Compile every part and render the sample in every locale, with and without the optional variables.

    Every exception that the source causes in our own code becomes a fault.
    """
    try:
        return _check(source, public_url)
    except Exception as error:  # noqa: BLE001 - such as a number of 5,000 digits, which Python does not read
        faults = [fault_in_mail(error)]
    return Checked(faults=faults, remarks=[], variables_schema={}, subject_paths=[], previews={})


def _check(source: TemplateSource, public_url: str | None) -> Checked:
    trial = _Trial(source, _static_faults(source))
    remarks: list[Remark] = []
    paths: list[list[str]] = []
    usage = _variables(source)
    try:
        if not trial.faults:
            version = CompiledVersion(source, public_url, keeps_raw_values=True)
            trial.faults += version.image_faults()
        if not trial.faults:
            trial.run(version, _samples(source, usage.optional))
            trial.tell(*find_dropped(source))
        if not trial.faults:
            paths = version.subject_paths()
            whole = Whole(source=source, variables=usage, raw_values=version.raw_values or ())
            remarks = remarks_on(whole, trial.mails)
    except PartError as error:
        trial.tell(error.fault)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the template's, and told as a fault
        trial.tell(fault_in_mail(error))
    return Checked(
        faults=trial.faults,
        remarks=remarks,
        variables_schema=usage.schema,
        subject_paths=paths,
        previews=trial.previews,
    )


class _Trial:
    """Renders the sample in every locale, and collects the mails and their faults."""

    def __init__(self, source: TemplateSource, faults: list[RenderFault]) -> None:
        self.faults = faults
        self.mails: list[Mail] = []
        self.previews: dict[str, Preview] = {}
        self._source = source

    def run(self, version: CompiledVersion, samples: Sequence[dict[str, Any]]) -> None:
        """Render the samples in all locales, until there are enough faults."""
        for tag in (None, *self._source.locales):
            for values in samples:
                try:
                    self._try(version, tag, values)
                except PartError as error:
                    self.tell(error.fault)
                    if not self._is_enough():
                        self.tell(*version.faults(tag, values))
                    break
            if self._is_enough():
                break

    def tell(self, *faults: RenderFault) -> None:
        """Add faults, each once: a fault of a shared file comes up in every part and locale."""
        for fault in faults:
            if fault not in self.faults:
                self.faults.append(fault)

    def _try(self, version: CompiledVersion, tag: str | None, values: dict[str, Any]) -> None:
        rendered = version.render(tag, dict(values))  # first, so that compiling counts as where it is sent
        unstyled = version.written(tag, dict(values))
        compose(_specimen(), rendered)
        self.mails.append(
            Mail(
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
        return len(self.faults) >= ENOUGH or any(fault.code is FaultCode.TOO_SLOW for fault in self.faults)


def _variables(source: TemplateSource) -> Variables:
    """What is known about the variables; for a source that cannot be parsed, what sample and settings say."""
    try:
        return variables_of(source)
    except Exception:  # noqa: BLE001 - of Python's too: see `_check`
        optional = [*source.settings.optional]
        schema = variable.schema_of(source.sample, optional)
        return Variables(schema=schema, optional=optional, undefined=[], unused=[], unmatched=[])


def _static_faults(source: TemplateSource) -> list[RenderFault]:
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


def _samples(source: TemplateSource, optional: Iterable[str]) -> list[dict[str, Any]]:
    """The sample, and the sample without all optional variables if that is different."""
    values = source.sample_values
    shortest = variable.without(values, optional)
    return [values] if shortest == values else [values, shortest]


def _specimen() -> MailHeader:
    """A header for the sample's mail."""
    from_box = Mailbox("sender@example.org")
    moment = msgspec.convert("2026-01-01T00:00:00Z", type=MailHeader.__annotations__["date"])
    return MailHeader(message_id="<check@example.org>", date=moment, sender=from_box, recipient="to@example.org")
