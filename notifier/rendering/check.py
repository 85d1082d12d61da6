"""What a source that somebody edits comes to: compiled, rendered with its sample in every locale, and remarked upon."""

from collections.abc import Iterable
from typing import Any

import msgspec
from jinja2 import TemplateError

from notifier.rendering import variables as variable
from notifier.rendering.job import Checked, Mailbox, MailHeader, Preview, Remark, RenderFault
from notifier.rendering.language.faults import PartError
from notifier.rendering.lint.promise import Whole
from notifier.rendering.lint.report import remarks_on
from notifier.rendering.lint.rule import Mail
from notifier.rendering.mime import compose
from notifier.rendering.source import HTML, LOCALES, SUBJECT, TEXT, TemplateSource
from notifier.rendering.usage import Variables, variables_of
from notifier.rendering.version import CompiledVersion, Written


def check(source: TemplateSource, public_url: str | None = None) -> Checked:
    """Compile every part and render the sample in every locale, with and without the optional variables."""
    faults = _static_faults(source)
    previews: dict[str, Preview] = {}
    mails: list[Mail] = []
    remarks: list[Remark] = []
    paths: list[list[str]] = []
    known = _variables(source)
    if not faults:
        try:
            version = CompiledVersion(source, public_url, strict=True)
            faults += version.image_faults()
            for tag in () if faults else (None, *source.locales):
                for values in _samples(source, known.optional):
                    written = version.written(tag, dict(values))
                    preview = version.render(tag, dict(values))
                    compose(_specimen(), preview)
                    mails.append(_mail(source, tag, values, written, preview))
                    previews.setdefault(tag or source.settings.locale, preview)
            paths = version.subject_paths()
            remarks = remarks_on(Whole(source=source, variables=known), mails)
        except PartError as error:
            faults.append(error.fault)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the template's, and told as a fault
            faults.append(RenderFault(part="mail", line=None, message=str(error)))
    return Checked(
        faults=faults,
        remarks=remarks,
        variables_schema=known.schema,
        subject_paths=paths,
        previews=previews,
    )


def _variables(source: TemplateSource) -> Variables:
    """What is known about the variables; of a version that cannot be parsed, which is told elsewhere, a guess."""
    try:
        return variables_of(source)
    except (TemplateError, RecursionError):
        optional = [*source.settings.optional]
        schema = variable.schema_of(source.sample, optional)
        return Variables(schema=schema, optional=optional, undefined=[], unused=[], unmatched=[])


def _static_faults(source: TemplateSource) -> list[RenderFault]:
    """What can be seen without rendering: missing parts and reserved names."""
    faults = []
    for prefix in ("", *(f"{LOCALES}{tag}/" for tag in source.locales)):
        wanted = [SUBJECT, HTML] + ([TEXT] if TEXT in source.files else [])
        faults += [
            RenderFault(part=f"{prefix}{part}", line=None, message="this part is missing")
            for part in wanted
            if f"{prefix}{part}" not in source.files
        ]
    return faults


def _samples(source: TemplateSource, optional: Iterable[str]) -> list[dict[str, Any]]:
    """The sample, and what is left of it in the shortest allowed request."""
    shortest = variable.without(source.sample, optional)
    return [source.sample] if shortest == source.sample else [source.sample, shortest]


def _mail(source: TemplateSource, tag: str | None, values: dict[str, Any], written: Written, sent: Preview) -> Mail:
    return Mail(
        source=source,
        tag=tag,
        values=values,
        subject=written.subject,
        html=written.html,
        text=written.text,
        sent_html=sent.html,
    )


def _specimen() -> MailHeader:
    """A header to compose a checked sample with."""
    from_box = Mailbox("sender@example.org")
    moment = msgspec.convert("2026-01-01T00:00:00Z", type=MailHeader.__annotations__["date"])
    return MailHeader(message_id="<check@example.org>", date=moment, sender=from_box, recipient="to@example.org")
