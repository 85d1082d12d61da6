"""The first words of a mail, for the list."""

import re
from html.parser import HTMLParser

from notifier.inbox.message import ReceivedMessage

_LENGTH = 140
_UNSEEN = {"head", "style", "script", "title", "template"}
# Invisible characters with which newsletters pad their preheader.
_PADDING = re.compile("[\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufeff]")


def preview(message: ReceivedMessage) -> str:
    """Up to 140 characters in one line, from the text part or, without one, from the HTML."""
    text = message.text if message.text is not None else _visible_text(message.html or "")
    return " ".join(_PADDING.sub("", text[: _LENGTH * 20]).split())[:_LENGTH]


def _visible_text(html: str) -> str:
    reader = _VisibleText()
    reader.feed(html)
    return " ".join(reader.pieces)


class _VisibleText(HTMLParser):
    """Collects text outside of the elements that nobody sees."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        """Enter an element."""
        self._unseen += tag in _UNSEEN

    def handle_endtag(self, tag: str) -> None:
        """Leave an element; a stray end tag leaves nothing."""
        self._unseen = max(0, self._unseen - (tag in _UNSEEN))

    def handle_data(self, data: str) -> None:
        """Keep text that is seen."""
        if not self._unseen:
            self.pieces.append(data)
