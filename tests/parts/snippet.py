"""Renders a few lines of a template that a document shows, with the values shown before them."""

from datetime import UTC, datetime
from pathlib import Path

from notifier import strict_json
from notifier.rendering.child import Child
from notifier.rendering.job import Job, Mailbox, MailHeader, RenderFault, Show, ShownParts
from notifier.rendering.source import HTML, SUBJECT, TEXT, TemplateSettings, TemplateSource
from notifier.templating import layout

TEMPLATES = Path(__file__).parents[2] / "templates"
_HEADER = MailHeader(
    message_id="<snippet@example.org>",
    date=datetime(2026, 1, 1, tzinfo=UTC),
    sender=Mailbox("sender@example.org"),
    recipient="to@example.org",
)


def rendered(text: str, values: str, part: str = TEXT, locale: str = "en", public: str = "") -> str:
    """What a mail shows whose `part` is this text; or what is said to who wrote it, if it cannot be rendered."""
    files = {SUBJECT: "-", HTML: "-", TEXT: "-"} | {part: text}
    files |= layout.used(files, _layout)
    settings = TemplateSettings(name="Snippet", locale=locale, public=tuple(public.split()))
    source = TemplateSource(files=files, sample=strict_json.loads(values.encode()), settings=settings)
    job = Job(version="snippet", locale=None, variables=values, header=_HEADER)
    answer = Child().answer(Show(job=job, sources={"snippet": source}))
    if isinstance(answer, RenderFault):
        return str(answer)
    assert isinstance(answer, ShownParts)
    parts = {SUBJECT: answer.parts.subject, HTML: answer.parts.html, TEXT: answer.parts.text}
    return parts[part] or ""


def _layout(name: str) -> str | None:
    path = TEMPLATES / name
    return path.read_text() if path.is_file() else None
