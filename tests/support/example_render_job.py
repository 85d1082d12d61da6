"""The smallest mail for a rendering pool."""

import json
from datetime import UTC, datetime
from typing import Any

from notifier.mail.mail_parts import Mailbox, MailHeader
from notifier.rendering.protocol import RenderJob
from notifier.template_language.template_source import TemplateSettings, TemplateSource

HEADER = MailHeader(
    message_id="<1@shop.example>",
    date=datetime(2026, 3, 9, tzinfo=UTC),
    sender=Mailbox("shop@shop.example"),
    recipient="ada@example.com",
)


def build_source(html: str, text: str = "x") -> TemplateSource:
    """Build a source with these parts."""
    parts = {"subject.txt": "Hi {{ x }}", "body.html": html, "body.txt": text}
    return TemplateSource(files=parts, sample={"x": "a"}, settings=TemplateSettings(name="A"))


GOOD = build_source("<p>{{ x }}</p>")


def build_job(version: str = "good", **variables: Any) -> RenderJob:
    """Build a job with these variables."""
    return RenderJob(version=version, locale=None, variables=json.dumps({"x": "a", **variables}), header=HEADER)
