"""The fault relay behaves as its addresses order, on which the chaos tests rely."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from chaos.fleet import FaultRelay, fault_relay
from chaos.relay_log import Event, Name
from chaos.relay_script import Pace

BODY = b"Message-ID: <1@example.com>\r\n\r\nhello\r\n.. and a dot\r\n"
TAKEN = hashlib.sha256(BODY.replace(b"\r\n..", b"\r\n.")).hexdigest()
PACE = Pace(late=0.4, hang=0.3, drip=0.01)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The replies that one client received, and how long they took."""

    codes: list[str]  # of MAIL, RCPT, DATA and the dot; a missing one was a closed connection
    seconds: float


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[FaultRelay]:
    with fault_relay(tmp_path, PACE) as running:
        yield running


async def _client(relay: FaultRelay, recipient: str) -> Heard:
    """Run one pipelined transaction up to the first reply that is neither 250 nor 354."""
    reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    await reader.readline()
    writer.write(b"EHLO client.example\r\n")
    while not (await reader.readline()).startswith(b"250 "):
        pass
    started, codes = time.monotonic(), []
    flight = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<%b>\r\nDATA\r\n" % recipient.encode()
    for said in (flight, b"", b"", BODY + b".\r\n"):
        writer.write(said)
        line = await reader.readline()
        codes += [line[:3].decode("latin-1")] if line else []
        if not line.startswith((b"250", b"354")):
            break
    writer.close()
    return Heard(codes=codes, seconds=time.monotonic() - started)


def _logged(relay: FaultRelay, name: Name) -> list[Event]:
    return [event for event in relay.log.all() if event.name is name]


async def test_everybody_else_is_taken_at_once(relay: FaultRelay) -> None:
    """The log has the first byte, the whole mail, its sender and the reply."""
    assert (await _client(relay, "ada@example.com")).codes == ["250", "250", "354", "250"]
    (begin,), (taken,) = _logged(relay, Name.BEGIN), _logged(relay, Name.TAKEN)
    assert (begin.recipient, begin.helo) == ("ada@example.com", "client.example")
    assert (taken.message_id, taken.reply, taken.sha256) == ("<1@example.com>", "250", TAKEN)
    assert begin.monotonic <= taken.monotonic


@pytest.mark.parametrize(
    ("recipient", "codes"),
    [
        ("defer2+1@example.com", ["450", "450", "250"]),
        ("garbage+1@example.com", ["\xff\x00 ", "250"]),
        ("lone354+1@example.com", ["550", "550"]),
    ],
)
async def test_faults_at_rcpt(relay: FaultRelay, recipient: str, codes: list[str]) -> None:
    """Each fault happens the ordered number of times and then no more."""
    assert [(await _client(relay, recipient)).codes[1] for _ in codes] == codes


async def test_a_refused_dot_is_not_taken(relay: FaultRelay) -> None:
    """The log records one 450 at the dot as refused, and the next mail as accepted."""
    assert [(await _client(relay, "refusedot+1@example.com")).codes[3] for _ in range(2)] == ["450", "250"]
    assert [event.name for event in relay.log.all()] == [Name.BEGIN, Name.REFUSED, Name.BEGIN, Name.TAKEN]


async def test_a_dropped_dot_is_taken_without_a_word(relay: FaultRelay) -> None:
    """The connection closes once after the dot, and the log records the mail as accepted."""
    assert [len((await _client(relay, "dropdot+1@example.com")).codes) for _ in range(2)] == [3, 4]
    assert [event.reply for event in _logged(relay, Name.TAKEN)] == ["none", "250"]


async def test_silence_at_data_ends_with_a_closed_connection(relay: FaultRelay) -> None:
    """The relay closes the connection after a silence, and no body has begun."""
    heard = await _client(relay, "hangdata+1@example.com")
    assert (heard.codes, heard.seconds >= PACE.hang, relay.log.all()) == (["250", "250"], True, [])


@pytest.mark.parametrize("recipient", ["late+1@example.com", "latedata+1@example.com"])
async def test_late_replies_come_late(relay: FaultRelay, recipient: str) -> None:
    """The reply is delayed once, and the log has the mail before the reply to its dot."""
    first, second = await _client(relay, recipient), await _client(relay, recipient)
    assert first.codes == second.codes == ["250", "250", "354", "250"]
    assert first.seconds >= PACE.late > second.seconds
    codes = [event.reply for event in _logged(relay, Name.TOLD)]
    assert codes == (["250"] if recipient.startswith("late+") else [])


async def test_a_drip_takes_its_time(relay: FaultRelay) -> None:
    """Every reply from RCPT on arrives complete, byte by byte."""
    heard = await _client(relay, "drip+1@example.com")
    assert heard.codes == ["250", "250", "354", "250"]
    assert heard.seconds >= 36 * PACE.drip  # bytes after the reply to MAIL


async def test_a_client_that_dies_in_the_body_leaves_a_begin_only(relay: FaultRelay) -> None:
    """An incomplete body is logged as begun and not as accepted."""
    _, writer = await asyncio.open_connection("127.0.0.1", relay.port)
    writer.write(b"EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n" + BODY)
    await writer.drain()
    async with asyncio.timeout(10):
        while not relay.log.all():  # noqa: ASYNC110 - another process writes the log
            await asyncio.sleep(0.01)
    writer.transport.abort()
    assert (await _client(relay, "bob@example.com")).codes[-1] == "250"
    assert [(event.name, event.recipient) for event in relay.log.all()] == [
        (Name.BEGIN, "ada@example.com"),
        (Name.BEGIN, "bob@example.com"),
        (Name.TAKEN, "bob@example.com"),
    ]
