"""A relay with random replies: refusals, split and multi-line replies, sometimes SMTP violations."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

USUAL = {"MAIL": 250, "RCPT": 250, "DATA": 354, "DOT": 250, "RSET": 250}
REFUSALS = (450, 451, 550, 554)
TROUBLES = ("goodbye", "garbage", "drop", "half", "extra", "strange")
_GARBAGE = (b"\xff\x00what\r\n", b"25x\r\n", b"250-a\r\n550 b\r\n", b"x" * 5000 + b"\r\n", b"\r\n", b"2500 ok\r\n")
_STRANGE = {"MAIL": (354, 220), "RCPT": (354, 220), "DATA": (250, 220), "DOT": (354, 220, 251), "RSET": (354, 220)}


@dataclass(frozen=True, kw_only=True)
class ScriptedReply:
    """The reply to one command."""

    code: int
    text: str  # of the reply proper; contains the tag of the mail
    wire: bytes
    glued: int  # `wire` must not be split here: right before an unsolicited line
    hangs_up: bool
    whole: bool  # the whole reply was sent


@dataclass
class MailScript:
    """All replies to one mail, and what the relay has received of it."""

    tag: str
    said: dict[str, ScriptedReply]
    trouble: str | None
    troubled: str | None  # the command with the wrong reply
    given: set[str] = field(default_factory=set)  # commands that were answered
    body: bytes | None = None


def draw_script(rng: random.Random, tag: str) -> MailScript:
    """Draw the replies to a mail; in one of three cases one reply is wrong."""
    trouble = rng.choice(TROUBLES) if rng.random() < 1 / 3 else None
    troubled = rng.choice(list(USUAL)) if trouble else None
    said = {}
    for command, usual in USUAL.items():
        refuses = rng.random() < 1 / 8 and command != "RSET"
        code = rng.choice(REFUSALS) if refuses else usual
        said[command] = _said(rng, code, f"{tag} {command}", (command, trouble if command == troubled else None))
    return MailScript(tag=tag, said=said, trouble=trouble, troubled=troubled)


def _said(rng: random.Random, code: int, text: str, where: tuple[str, str | None]) -> ScriptedReply:
    command, trouble = where
    if trouble == "goodbye":
        code = 421
    elif trouble == "strange":
        code = rng.choice(_STRANGE[command])
    lines = [f"{code}-{text}\r\n"] * rng.choice((0, 0, 0, 1, 3)) + [f"{code} {text}\r\n"]
    wire = "".join(lines).encode()
    glued = len(wire)
    if trouble == "garbage":
        wire = rng.choice(_GARBAGE)
    elif trouble == "drop":
        wire = b""
    elif trouble == "half":
        wire = wire[: rng.randrange(len(wire))]
    elif trouble == "extra":
        wire += f"{rng.choice((250, 450, 550, 220))} {text} unasked\r\n".encode()
    return ScriptedReply(
        code=code,
        text=" ".join([text] * len(lines)),
        wire=wire,
        glued=glued,
        hangs_up=trouble in {"goodbye", "drop", "half"},
        whole=trouble not in {"garbage", "drop", "half"},
    )


class RandomRelayProtocol(asyncio.Protocol):
    """The relay's end of a connection, which uses one script per mail."""

    def __init__(self, rng: random.Random, scripts: Iterable[MailScript] = ()) -> None:
        self._rng = rng
        self._scripts = iter(scripts)
        self._now: MailScript | None = None
        self._buffer = bytearray()
        self._in_body = False
        self._queue: list[bytes] = []  # the pieces of the reply that are still to be sent
        self._hanging_up = False
        self.quiet = asyncio.Event()  # nothing more to send
        self.quiet.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has another class

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._hanging_up:
            end = self._buffer.find(b"\r\n.\r\n") if self._in_body else self._buffer.find(b"\r\n")
            if end < 0:
                break
            line = bytes(self._buffer[:end])
            del self._buffer[: end + (5 if self._in_body else 2)]
            self._obey("DOT" if self._in_body else line[:4].decode("latin-1"), line)

    def _script_of(self, _line: bytes) -> MailScript:
        return next(self._scripts)

    def _obey(self, command: str, line: bytes) -> None:
        if command == "MAIL":
            self._now = self._script_of(line)
        now = self._now
        assert now is not None
        self._in_body = False
        if command == "DOT":
            now.body = line.removeprefix(b"\r\n")
        said = now.said.get(command)
        if said is None:
            self._say(b"500 " + now.tag.encode() + b" what\r\n", 0)
            return
        now.given.add(command)
        self._say(said.wire, said.glued)
        self._hanging_up = said.hangs_up
        if said.whole and said.code == 354 and command == "DATA":
            self._in_body = True
            self._buffer[:0] = b"\r\n"  # so that a lone dot ends a body too

    def _say(self, wire: bytes, glued: int) -> None:
        """Send a reply in up to three pieces, with a turn of the event loop between them."""
        idle = self.quiet.is_set()
        self.quiet.clear()
        places = sorted({self._rng.randrange(len(wire) + 1) for _ in range(self._rng.choice((0, 0, 1, 2)))} - {glued})
        self._queue += [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
        if idle:
            self._go_on()

    def _go_on(self) -> None:
        if self._transport.is_closing():
            self._queue.clear()
        if self._queue:
            self._transport.write(self._queue.pop(0))
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self.quiet.set()
            if self._hanging_up:
                self._transport.close()
