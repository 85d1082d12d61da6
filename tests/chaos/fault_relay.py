"""A relay that misbehaves as each recipient's address orders (see `relay_script`), in a process of its own.

It logs each begun body and each accepted mail before it answers, so that the log survives a killed client.
Run it as `python -m chaos.fault_relay LOG [--delay SECONDS …]`; it prints its port.
"""

import argparse
import asyncio
import hashlib
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from chaos.relay_log import Event, Name
from chaos.relay_script import NO_RECIPIENT, OK, Moment, Pace, Script, Step

_GREETING = b"220 relay.example ESMTP\r\n"
_EHLO = b"250-relay.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE 10485760\r\n250 ENHANCEDSTATUSCODES\r\n"
_END = b"\r\n.\r\n"
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_HEAD = 8192  # bytes that contain the Message-ID


class Log:
    """The log file; each event is one write, so that no event is written in part or late."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, event: Event) -> None:
        """Append one event."""
        os.write(self._file, event.line())


class Connection(asyncio.Protocol):
    """One client connection; commands are answered in order, one at a time or pipelined."""

    def __init__(self, script: Script, log: Log, number: int) -> None:
        self._script, self._log, self._number = script, log, number
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._helo = self._recipient = "-"
        self._accepted = False  # a recipient of this transaction
        self._in_body = self._begun = False
        self._waiting: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_GREETING)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._waiting is None:
            self._go_on()

    def _go_on(self) -> None:
        """Answer the buffered commands up to a reply that has to wait."""
        while self._waiting is None and (self._body() if self._in_body else self._line()):
            pass
        self._flush()

    def _flush(self) -> None:
        if self._out and self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _line(self) -> bool:
        """Execute one command; return False if no complete one is buffered."""
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._obey(line[:4].upper(), line)
        return True

    def _obey(self, verb: bytes, line: bytes) -> None:
        match verb:
            case b"EHLO" | b"HELO":
                self._helo = line[5:].decode("ascii", "replace").strip() or "-"
                self._out.append(_EHLO)
            case b"MAIL":
                self._accepted = False
                self._perform(self._script.step("", Moment.MAIL))
            case b"RCPT":
                self._recipient = line.partition(b"<")[2].partition(b">")[0].decode("utf-8", "replace")
                step = self._script.step(self._recipient, Moment.RCPT)
                self._accepted = step.reply.startswith(b"250")
                self._perform(step)
            case b"DATA":
                self._data()
            case b"RSET" | b"NOOP":
                self._out.append(OK)
            case b"QUIT":
                self._perform(Step(reply=b"221 2.0.0 bye\r\n", drops=True))
            case _:
                self._out.append(b"502 5.5.1 unknown command\r\n")

    def _data(self) -> None:
        lone = self._recipient.startswith("lone354+")
        if not self._accepted and not lone:
            self._perform(NO_RECIPIENT)
            return
        step = self._script.step(self._recipient, Moment.DATA)
        self._in_body, self._begun = step.reply.startswith(b"354"), False
        self._perform(step)

    def _body(self) -> bool:
        """Accept a body; return False if it is not complete."""
        if not self._buffer:
            return False
        if self._buffer.startswith(b".\r\n"):  # only the dot: the client knows that it has no recipient
            del self._buffer[:3]
            self._in_body = False
            self._perform(NO_RECIPIENT)
            return True
        if not self._begun:
            self._begun = True
            self._note(Name.BEGIN)
        end = self._buffer.find(_END)
        if end < 0:
            return False
        whole = bytes(self._buffer[: end + 2])
        del self._buffer[: end + len(_END)]
        self._in_body = False
        self._take(whole.replace(b"\r\n..", b"\r\n."))
        return True

    def _take(self, body: bytes) -> None:
        step = self._script.step(self._recipient, Moment.DOT)
        match = _MESSAGE_ID.search(body, 0, _HEAD)
        message_id = match[1].decode("ascii", "replace") if match else "-"
        taken = not step.reply.startswith(b"4")
        name = Name.TAKEN if taken else Name.REFUSED
        self._note(name, message_id, step.code, hashlib.sha256(body).hexdigest())
        late = step.reply and step.code == "none"
        self._perform(step, (lambda: self._note(Name.TOLD, message_id, step.reply[:3].decode())) if late else None)

    def _note(self, name: Name, message_id: str = "-", reply: str = "-", sha256: str = "-") -> None:
        event = Event(
            name=name,
            wall=time.time(),
            monotonic=time.monotonic(),
            helo=self._helo,
            connection=self._number,
            recipient=self._recipient,
            message_id=message_id,
            reply=reply,
            sha256=sha256,
        )
        self._log.add(event)

    def _perform(self, step: Step, then: Callable[[], None] | None = None) -> None:
        """Execute the script's step, now or later; until then no other command is answered."""
        if step.after:
            self._flush()
            later = Step(reply=step.reply, drip=step.drip, drops=step.drops)
            self._waiting = asyncio.get_running_loop().call_later(step.after, self._resume, later, then)
        elif step.drip and step.reply:
            self._flush()
            self._drip(step, then)
        else:
            self._say(step, then)

    def _say(self, step: Step, then: Callable[[], None] | None) -> None:
        self._out.append(step.reply)
        if step.drops and self._transport is not None:
            self._flush()
            self._transport.close()
        if then is not None:
            then()

    def _resume(self, step: Step, then: Callable[[], None] | None) -> None:
        self._waiting = None
        self._perform(step, then)
        if self._waiting is None:
            self._go_on()

    def _drip(self, step: Step, then: Callable[[], None] | None) -> None:
        """Send one byte and schedule the rest as a later step."""
        assert self._transport is not None
        self._transport.write(step.reply[:1])
        rest = Step(reply=step.reply[1:], drip=step.drip, drops=step.drops)
        self._waiting = asyncio.get_running_loop().call_later(step.drip, self._resume, rest, then)


async def serve(log: Log, pace: Pace, seed: int, host: str) -> None:
    """Accept mail until SIGTERM or SIGINT, on a port that is printed."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    script, numbers = Script(pace, seed), iter(range(1 << 60))
    server = await loop.create_server(lambda: Connection(script, log, next(numbers)), host, 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - the starting process reads the port
    await stopped.wait()
    server.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    times = [field.name for field in fields(Pace) if field.name != "slow"]
    for name in times:
        parser.add_argument(f"--{name}", type=float, default=getattr(Pace(), name))
    arguments = parser.parse_args()
    pace = Pace(**{name: getattr(arguments, name) for name in times})
    asyncio.run(serve(Log(arguments.log), pace, arguments.seed, arguments.host))


if __name__ == "__main__":
    main()
