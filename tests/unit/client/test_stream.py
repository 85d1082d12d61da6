"""Server-sent events, line by line."""

from notifier.client.http_exchange import EventParser


def _parse(*lines: str) -> list[bytes]:
    events = EventParser()
    return [event.content for line in lines if (event := events.feed(line)) is not None]


def test_lines_make_events() -> None:
    """Data lines are joined, comments and other fields are ignored, and an empty line ends an event."""
    events = _parse(": open", "", "data: one", "", "event: x", "data:two", "data:  three", "id: 7", "", "", "data", "")
    assert events == [b"one", b"two\n three", b""]


def test_an_event_that_was_cut_off_is_none() -> None:
    """An event without its closing empty line is dropped."""
    assert _parse("data: one", "", "data: {") == [b"one"]


def test_the_event_that_ends_a_stream_is_no_answer() -> None:
    """The `end` event of a server that ends a stream early is not returned; events after it are."""
    events = _parse("data: one", "", "event: end", 'data: {"code": "time_limit"}', "", "data: two", "")
    assert events == [b"one", b"two"]
