"""Server-sent events as they are read off a connection, line by line (WHATWG HTML, 9.2.6).

Only their data counts. The event `end`, by which a server ends a stream early, is none of what is told.
"""

from datetime import UTC, datetime
from http import HTTPStatus

from notifier.client.api_call import HttpResponse

SILENCE_SECONDS = 60.0
"""A stream says something every 15 seconds, if only that it is still there."""


class EventParser:
    """Puts lines together to events."""

    def __init__(self) -> None:
        self._data: list[str] = []
        self._name = ""

    def feed(self, line: str) -> HttpResponse | None:
        """The event that this line completes, as an answer of its own; None: none yet."""
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
