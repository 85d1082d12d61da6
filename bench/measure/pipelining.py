"""`python -m bench.measure.pipelining`: the effect of PIPELINING on one session over a slow line."""

import argparse
import asyncio
import statistics
import time
from types import TracebackType
from typing import Self

from bench.rig.result_table import Figure, Table, format_median
from bench.rig.smtp_sink import Sink
from notifier.outbox.entry_handler import BodyPermit
from notifier.outcomes import Accepted
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSecurity, SmtpSettings

MAIL = OutgoingMail(
    sender="a@example.com", recipient="b@example.com", data=b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 200
)


class SlowLine:
    """A proxy on loopback that forwards bytes after a delay in seconds; use it as an async context manager."""

    def __init__(self, port: int, delay: float) -> None:
        self.port = 0
        self._behind = port
        self._delay = delay
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection("127.0.0.1", self._behind)
        await asyncio.gather(self._hand_on(reader, behind[1]), self._hand_on(behind[0], writer))

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(1 << 16):
            loop.call_later(self._delay, writer.write, data)
        loop.call_later(self._delay, writer.close)


async def permit() -> BodyPermit:
    """Give the queue's permit at once."""
    now = time.monotonic()
    return BodyPermit(first_byte_by=now + 10, ends=now + 600, may_continue=lambda: True)


async def rate(mails: int, delay: float, *, pipelining: bool, waiting: bool = False) -> float:
    """Measure mails per second of one session, without connecting; with all queued, or one after the other."""
    async with Sink(pipelining=pipelining) as sink, SlowLine(sink.port, delay) as line:
        settings = SmtpSettings(port=line.port, max_connections=1, security=SmtpSecurity.NONE)
        transport = SmtpTransport(settings)
        assert await transport.probe() is None
        started = time.perf_counter()
        for _ in range(1 if waiting else mails):
            together = [transport.send(MAIL, seconds=60, before_body=permit) for _ in range(mails if waiting else 1)]
            assert all(isinstance(outcome, Accepted) for outcome in await asyncio.gather(*together))
        seconds = time.perf_counter() - started
        await transport.close()
        return mails / seconds


async def measure(rounds: int, mails: int, delay: float) -> Table:
    """Measure all variants in turns, so that no moment of the machine favours one of them."""
    announced, with_it, without = [], [], []
    for _ in range(rounds):
        announced.append(await rate(mails, delay, pipelining=True, waiting=True))
        with_it.append(await rate(mails, delay, pipelining=True))
        without.append(await rate(mails, delay, pipelining=False))
    ratio = statistics.median(with_it) / statistics.median(without)
    more = statistics.median(announced) / statistics.median(with_it)
    figures = [
        Figure("PIPELINING offered, each mail announced", format_median(announced, "{:.2f}") + " msg/s"),
        Figure("PIPELINING offered", format_median(with_it, "{:.2f}") + " msg/s"),
        Figure("not offered", format_median(without, "{:.2f}") + " msg/s"),
        Figure("offered ÷ not offered", f"{ratio:.2f}", is_headline=True),
        Figure("announced ÷ one after the other", f"{more:.2f}", is_headline=True),
    ]
    return Table(title=f"(d) one SMTP session, round trip {delay * 2000:.0f} ms", figures=figures)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.measure.pipelining")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mails", type=int, default=20, help="in each round (%(default)s)")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds each way (%(default)s)")
    options = parser.parse_args()
    print(asyncio.run(measure(options.rounds, options.mails, options.delay)))


if __name__ == "__main__":
    main()
