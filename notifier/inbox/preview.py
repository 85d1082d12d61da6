"""The preview of a mail in the list."""

from notifier.inbox.message import ReceivedMessage
from notifier.inbox.readable_text import visible_text, without_invisible

_LENGTH = 140


def preview(message: ReceivedMessage) -> str:
    """Build a preview of up to 140 characters in one line, from the text part or else the HTML."""
    text = message.text if message.text is not None else visible_text(message.html or "")
    return " ".join(without_invisible(text[: _LENGTH * 20]).split())[:_LENGTH]
