"""What a source that somebody edits comes to: compiled, rendered with its sample in every locale, and remarked upon."""

from collections.abc import Sequence
from typing import Any

import msgspec
from jinja2 import TemplateError

from notifier.rendering import variables as variable
from notifier.rendering.job import Checked, Mailbox, MailHeader, Preview, Remark, RenderFault, Severity
from notifier.rendering.mime import compose
from notifier.rendering.source import HTML, LOCALES, SUBJECT, TEXT, TemplateSource
from notifier.rendering.usage import variables_of
from notifier.rendering.version import CompiledVersion, PartError

GMAIL_CLIP = 90 * 1024  # octets; Gmail hides what follows at about 102 KB


def check(source: TemplateSource, public_url: str | None = None) -> Checked:
    """Compile every part and render the sample in every locale, with and without the optional variables."""
    faults, previews = _static_faults(source), {}
    remarks: list[Remark] = []
    paths: list[list[str]] = []
    optional, schema = _variables(source)
    if not faults:
        try:
            version = CompiledVersion(source, public_url)
            faults += version.image_faults()
            for tag in () if faults else (None, *source.locales):
                preview = previews[tag or source.settings.locale] = version.render(tag, dict(source.sample))
                version.render(tag, variable.without(source.sample, optional))
                compose(_specimen(), preview)
                remarks += _remarks(tag, preview)
            paths = version.subject_paths()
        except PartError as error:
            faults.append(error.fault)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the template's, and told as a fault
            faults.append(RenderFault(part="mail", line=None, message=str(error)))
    return Checked(
        faults=faults,
        remarks=remarks,
        variables_schema=schema,
        subject_paths=paths,
        previews=previews,
    )


def _variables(source: TemplateSource) -> tuple[Sequence[str], dict[str, Any]]:
    """What may be left out, and the schema; of a version that cannot be parsed, which is told elsewhere, a guess."""
    try:
        found = variables_of(source)
    except (TemplateError, RecursionError):
        return source.settings.optional, variable.schema_of(source.sample, source.settings.optional)
    return found.optional, found.schema


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


def _remarks(tag: str | None, preview: Preview) -> list[Remark]:
    found = []
    prefix = f"{LOCALES}{tag}/" if tag else ""
    if len(preview.subject) > 78:  # noqa: PLR2004 - RFC 5322 §2.1.1, and what phones show
        remark = Remark(
            severity=Severity.WARNING,
            code="long_subject",
            file=f"{prefix}{SUBJECT}",
            line=None,
            message=f"the subject has {len(preview.subject)} characters; many clients cut after 78.",
            advice="Say the most important thing first, and less.",
            locale=tag,
        )
        found.append(remark)
    if (size := len(preview.html.encode())) > GMAIL_CLIP:
        remark = Remark(
            severity=Severity.WARNING,
            code="large_html",
            file=f"{prefix}{HTML}",
            line=None,
            message=f"the HTML has {size // 1024} KB; Gmail hides what follows the first 102.",
            advice="Shorten it, or say less in styles.",
            locale=tag,
        )
        found.append(remark)
    return found


def _specimen() -> MailHeader:
    """A header to compose a checked sample with."""
    from_box = Mailbox("sender@example.org")
    moment = msgspec.convert("2026-01-01T00:00:00Z", type=MailHeader.__annotations__["date"])
    return MailHeader(message_id="<check@example.org>", date=moment, sender=from_box, recipient="to@example.org")
