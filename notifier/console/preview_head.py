"""What stands above and below a preview: the fields that an inbox shows, and where the links lead."""

import asyncio
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from email.policy import default as default_policy

from notifier.mail.mail_outline import MailLink, MailOutline, read_outline
from notifier.rendering.protocol import PreviewedMail


@dataclass(frozen=True, kw_only=True)
class PreviewHead:
    """The fields and the links of a mail that is previewed."""

    sender: str
    recipient: str
    subject: str
    preheader: str  # empty: there is none
    links: list[MailLink]


async def build_preview_head(mail: PreviewedMail) -> PreviewHead:
    """Build the head of a preview from the mail as it would leave."""
    header = BytesHeaderParser(policy=default_policy).parsebytes(mail.wire.partition(b"\r\n\r\n")[0])
    outline = MailOutline(links=[], preheader="")
    if mail.html is not None:
        outline = await asyncio.to_thread(read_outline, mail.html)
    return PreviewHead(
        sender=str(header["From"] or ""),
        recipient=str(header["To"] or ""),
        subject=mail.subject,
        preheader=outline.preheader,
        links=outline.links,
    )
