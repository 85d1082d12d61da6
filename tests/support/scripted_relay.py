"""A real SMTP server with scripted replies by recipient and command, which records what it receives."""

import asyncio
import contextlib
import re
import ssl
from base64 import b64decode
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.polling import MAX_SECONDS
from support.received_mail import ReceivedMail

DROP = "drop"  # close the connection instead of answering
HANG = "hang"  # never answer
ENDLESS = "endless"  # continuation lines without end, until the other side closes
TRICKLE = "trickle"  # single bytes without a line end, until the other side closes
HOLD = "hold "  # before a reply: send it when `resume` is set, and record in `early` what arrived until then
STALL = "stall"  # at DATA: 354, and then nothing is read until `resume` is set
_EARLY_RCPT = "503 5.5.1 MAIL first"
_NOBODY = "554 5.5.1 no valid recipients"
_LIMIT = 1 << 24  # bytes that are read ahead, and so the largest body
_PACE = 0.01  # seconds between the bytes of a trickle
_EARLY = 0.01  # seconds in which a watchful relay waits for a command that comes too soon
_ADDRESS = re.compile(rb"<([^>]*)>")


@dataclass
class ScriptedRelay:
    """Start it with `await relay.start()`; `stop` and `start` again keep the port."""

    greeting: str = "220 relay.example ESMTP"
    extensions: tuple[str, ...] = ("SIZE 10485760", "8BITMIME", "ENHANCEDSTATUSCODES")
    tls: ssl.SSLContext | None = None  # from the first byte
    starttls: ssl.SSLContext | None = None
    users: dict[str, str] = field(default_factory=dict)
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")  # for AUTH, offered where there are users
    watchful: bool = False  # delay each reply for a moment, and record in `early` what arrives before it
    pipelines: bool = False  # offer PIPELINING (RFC 2920)
    port: int = 0
    host: str = "127.0.0.1"
    connections: int = 0
    connected_at: list[float] = field(default_factory=list)  # seconds of the loop's clock
    commands: list[str] = field(default_factory=list)  # every command of every connection, in order
    received: list[ReceivedMail] = field(default_factory=list)
    bodies: list[str] = field(
        default_factory=list
    )  # recipients of mails that were read to their dot, whatever the reply
    early: list[bytes] = field(default_factory=list)  # bytes that a client sent before the last reply
    poured: int = 0  # bytes of endless replies
    flights: int = 0  # how often it had to wait for the client: round trips

    def __post_init__(self) -> None:
        self._script: dict[tuple[str, str], deque[str]] = defaultdict(deque)
        self._server: asyncio.Server | None = None
        self._arrived = asyncio.Condition()
        self._writers: set[asyncio.StreamWriter] = set()
        self.resume = asyncio.Event()

    def say(self, recipient: str, command: str, reply: str, *, times: int = 1) -> None:
        """Answer `command` (MAIL, RCPT, DATA or DOT) for this recipient with `reply`; "*" stands for any.

        MAIL comes before the recipient is known, so script it for the sender's address; EHLO, AUTH, RSET
        and QUIT belong to nobody, so script them for "*".
        """
        self._script[recipient, command].extend([reply] * times)

    def forget(self) -> None:
        """Remove the scripted replies."""
        self._script.clear()

    async def start(self) -> "ScriptedRelay":
        """Listen, on the previous port if there was one."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, ssl=self.tls, limit=_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Refuse new connections and cut the open ones."""
        if self._server is not None:
            self._server.close()
            self.resume.set()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    async def wait_for(self, count: int) -> list[ReceivedMail]:
        """Wait until that many mails were accepted."""
        await self._until(lambda: len(self.received) >= count)
        return self.received

    async def wait_for_commands(self, name: str, count: int) -> None:
        """Wait until a command was received that many times."""
        await self._until(lambda: sum(c.startswith(name) for c in self.commands) >= count)

    async def wait_for_bodies(self, count: int) -> None:
        """Wait until that many mails were read to their dot."""
        await self._until(lambda: len(self.bodies) >= count)

    async def wait_until_silent(self) -> None:
        """Wait until no connection is open."""
        await self._until(lambda: not self._writers)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(MAX_SECONDS), self._arrived:
            await self._arrived.wait_for(condition)

    async def interject(self, line: str) -> None:
        """Send an unsolicited reply on every connection."""
        for writer in list(self._writers):
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

    def hang_up(self) -> None:
        """Close every connection cleanly, and keep listening."""
        for writer in list(self._writers):
            writer.close()

    def cut(self) -> None:
        """Reset every connection, and keep listening."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected_at.append(asyncio.get_running_loop().time())
        self._writers.add(writer)
        try:
            await _Connection(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()
            async with self._arrived:
                self._writers.discard(writer)
                self._arrived.notify_all()

    async def remember(self, what: Any, where: list[Any]) -> None:
        """Record a command or mail, and notify the waiters."""
        async with self._arrived:
            where.append(what)
            self._arrived.notify_all()

    def scripted(self, who: str, command: str, otherwise: str) -> str:
        """Get the reply to send."""
        for key in ((who, command), ("*", command)):
            if self._script[key]:
                return self._script[key].popleft()
        return otherwise


class _Connection:
    """The connection of one client, read line by line."""

    def __init__(self, relay: ScriptedRelay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._relay, self._reader, self._writer = relay, reader, writer
        self._sender = self._recipient = ""
        self._mail_given = self._recipient_given = False
        self._secured = relay.tls is not None

    async def run(self) -> None:
        if not await self._answer(self._relay.greeting) or not self._relay.greeting.startswith("220"):
            return
        while line := await self._counting_flights().readline():
            verb = line.split(b" ", 1)[0].strip().upper().decode("ascii", "replace")
            command = line.strip().decode("utf-8", "replace") if verb != "AUTH" else "AUTH"
            await self._relay.remember(command, self._relay.commands)
            if not await self._obey(verb, line):
                return

    def _counting_flights(self) -> Any:  # the reader, whose buffer is private
        self._relay.flights += not self._reader._buffer  # type: ignore[attr-defined]
        return self._reader

    async def _obey(self, verb: str, line: bytes) -> bool:  # noqa: PLR0911 - one return per command
        match verb:
            case "EHLO":
                return await self._ehlo()
            case "STARTTLS" if self._relay.starttls:
                await self._answer("220 2.0.0 go ahead")
                await self._writer.start_tls(self._relay.starttls)
                self._secured = True
                return True
            case "AUTH":
                return await self._auth(line)
            case "MAIL":
                self._sender = _address_in(line)
                reply = self._relay.scripted(self._sender, "MAIL", "250 2.1.0 ok")
                self._mail_given, self._recipient_given = reply.startswith("250"), False
                return await self._answer(reply)
            case "RCPT":
                self._recipient = _address_in(line)
                reply = self._relay.scripted(
                    self._recipient, "RCPT", "250 2.1.5 ok" if self._mail_given else _EARLY_RCPT
                )
                self._recipient_given = reply.startswith("25")
                return await self._answer(reply)
            case "DATA":
                return await self._data()
            case "RSET" | "NOOP":
                self._mail_given = self._recipient_given = False
                return await self._answer(self._relay.scripted("*", verb, "250 2.0.0 ok"))
            case "QUIT":
                await self._answer(self._relay.scripted("*", "QUIT", "221 2.0.0 bye"))
                return False
        return await self._answer("502 5.5.1 unknown command")

    async def _ehlo(self) -> bool:
        offered = [*self._relay.extensions]
        if self._relay.starttls and not self._secured:
            offered.append("STARTTLS")
        if self._relay.pipelines:
            offered.append("PIPELINING")
        if self._relay.users:
            offered.append(" ".join(("AUTH", *self._relay.mechanisms)))
        lines = ["relay.example", *offered]
        last = len(lines) - 1
        usual = "\r\n".join(f"250{' ' if n == last else '-'}{text}" for n, text in enumerate(lines))
        return await self._answer(self._relay.scripted("*", "EHLO", usual))

    async def _auth(self, line: bytes) -> bool:
        words = line.split()
        mechanism = words[1].upper().decode()
        if len(words) < 3 or mechanism not in self._relay.mechanisms:
            return await self._answer("504 5.5.4 unsupported")
        if mechanism == "LOGIN":
            await self._answer("334 UGFzc3dvcmQ6")
            user, password = b64decode(words[2]).decode(), b64decode(await self._reader.readline()).decode()
        else:
            _, user, password = b64decode(words[2]).decode().split("\x00")
        good = self._relay.users.get(user) == password
        usual = "235 2.7.0 welcome" if good else "535 5.7.8 wrong user name or password"
        return await self._answer(self._relay.scripted("*", "AUTH", usual))

    async def _data(self) -> bool:
        reply = self._relay.scripted(self._recipient, "DATA", "354 go ahead" if self._recipient_given else _NOBODY)
        if reply == STALL:
            self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # typed as a write transport
            await self._answer("354 go ahead")
            await self._relay.resume.wait()
            self._writer.transport.resume_reading()  # type: ignore[attr-defined]
        elif not await self._answer(reply) or not reply.startswith("354"):
            return reply != DROP
        self._counting_flights()._buffer[:0] = b"\r\n"  # so that a lone dot ends a body too
        data = (await self._reader.readuntil(b"\r\n.\r\n"))[2:-3]
        await self._relay.remember(self._recipient, self._relay.bodies)
        reply = self._relay.scripted(self._recipient, "DOT", "250 2.0.0 queued" if self._recipient_given else _NOBODY)
        self._mail_given = self._recipient_given = False
        if reply.removeprefix(HOLD).startswith("250"):
            mail = ReceivedMail(self._sender, self._recipient, re.sub(rb"(?m)^\.", b"", data))
            await self._relay.remember(mail, self._relay.received)
        return await self._answer(reply)

    async def _answer(self, reply: str) -> bool:
        if reply == HANG:
            await self._reader.read()  # until the other side closes
            return False
        if reply == ENDLESS:
            await self._pour(b"250-and so on\r\n" * 64)
        if reply == TRICKLE:
            await self._pour(b"2", pace=_PACE)
        if reply.startswith(HOLD):
            await self._relay.resume.wait()
            self._relay.early.append(bytes(self._reader._buffer))  # type: ignore[attr-defined]
            reply = reply.removeprefix(HOLD)
        if reply == DROP or (self._relay.watchful and await self._heard_early()):
            return False
        self._writer.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")
        await self._writer.drain()
        return not reply.startswith("421")

    async def _pour(self, chunk: bytes, *, pace: float = 0.0) -> None:
        """Write the data repeatedly until the other side closes, which raises."""
        while True:
            self._writer.write(chunk)
            self._relay.poured += len(chunk)
            await self._writer.drain()
            await asyncio.sleep(pace)

    async def _heard_early(self) -> bool:
        """Record and return True if the client sends before its turn."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EARLY):
                if said := await self._reader.read(1 << 16):
                    self._relay.early.append(said)
        return bool(self._relay.early)


def _address_in(line: bytes) -> str:
    match = _ADDRESS.search(line)
    return match[1].decode() if match else ""
