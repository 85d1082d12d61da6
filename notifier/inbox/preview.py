"""The preview of a mail in the list."""

from notifier.inbox.readable_text import extract_visible_text, strip_invisible
from notifier.inbox.received_message import ReceivedMessage

_LENGTH = 140


def build_preview(message: ReceivedMessage) -> str:
    """Build a preview of up to 140 characters in one line, from the text part or else the HTML."""
    text = message.text if message.text is not None else extract_visible_text(message.html or "")
    return " ".join(strip_invisible(text[: _LENGTH * 20]).split())[:_LENGTH]
