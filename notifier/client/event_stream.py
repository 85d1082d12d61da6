"""Parses server-sent events line by line (WHATWG HTML, 9.2.6).

Only their data is used. The event `end`, with which the server ends a stream early, is skipped.
"""

from datetime import UTC, datetime
from http import HTTPStatus

from notifier.client.api_call import HttpResponse

SILENCE_SECONDS = 60.0
"""A stream is lost after this silence; the server sends something every 15 seconds."""


class EventParser:
    """Joins lines to events."""

    def __init__(self) -> None:
        self._data: list[str] = []
        self._name = ""

    def feed(self, line: str) -> HttpResponse | None:
        """Take a line, and return the event that it completes as a reply of its own, or None."""
        if line:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            elif name == "event":
                self._name = value.removeprefix(" ")
            return None
        (data, self._data), (event, self._name) = (self._data, []), (self._name, "")
        if not data or event == "end":
            return None
        return HttpResponse(status=HTTPStatus.OK, headers={}, content="\n".join(data).encode(), at=datetime.now(UTC))
