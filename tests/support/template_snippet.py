"""Renders a template snippet from a document with its values."""

from datetime import UTC, datetime
from pathlib import Path

from notifier import strict_json
from notifier.mail.mail_parts import Mailbox, MailHeader
from notifier.rendering.child_program import RenderingChild
from notifier.rendering.protocol import PreviewAnswer, PreviewRequest, RenderJob
from notifier.template_language.template_source import (
    HTML,
    SUBJECT,
    TEXT,
    RenderFault,
    TemplateSettings,
    TemplateSource,
)
from notifier.templating import layout_store

TEMPLATES = Path(__file__).parents[2] / "templates"
_HEADER = MailHeader(
    message_id="<snippet@example.org>",
    date=datetime(2026, 1, 1, tzinfo=UTC),
    sender=Mailbox("sender@example.org"),
    recipient="to@example.org",
)


def render_snippet(text: str, values: str, part: str = TEXT, locale: str = "en", public: str = "") -> str:
    """Render a mail with this text as its `part`, or return the error message."""
    files = {SUBJECT: "-", HTML: "-", TEXT: "-"} | {part: text}
    files |= layout_store.find_used_layouts(files, _layout)
    settings = TemplateSettings(name="Snippet", locale=locale, public=tuple(public.split()))
    source = TemplateSource(files=files, sample=strict_json.parse_json(values.encode()), settings=settings)
    job = RenderJob(version="snippet", locale=None, variables=values, header=_HEADER)
    answer = RenderingChild().answer_request(PreviewRequest(job=job, sources={"snippet": source}))
    if isinstance(answer, RenderFault):
        return str(answer)
    assert isinstance(answer, PreviewAnswer)
    preview = {SUBJECT: answer.parts.subject, HTML: answer.parts.html, TEXT: answer.parts.text}
    return preview[part] or ""


def _layout(name: str) -> str | None:
    path = TEMPLATES / name
    return path.read_text() if path.is_file() else None
