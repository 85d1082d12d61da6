"""Two mails on one connection: the second is announced while the first waits for the reply to its dot."""

import asyncio
import socket
from dataclasses import dataclass, field

from notifier.outcomes import Accepted, Outcome
from notifier.smtp.mail_transaction import OutgoingMail, RequestPermit
from notifier.smtp.session_pool import AnnounceLimits
from notifier.smtp.smtp_session import SmtpSession
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSettings
from support.body_permit import PermitQueue, build_permit, grant_permit
from support.scripted_relay import HOLD, ScriptedRelay

WIRE = b"Subject: Hi\r\n\r\nHello\r\n"
QUEUED = "250 2.0.0 queued"
TURNS = 20  # of the event loop, in which all that was written to a socket arrives


def mail_to(name: str, wire: bytes = WIRE) -> OutgoingMail:
    """Build a mail to a recipient, with a sender of the same name so that MAIL can be scripted for it."""
    return OutgoingMail(sender=f"{name}@shop.example", recipient=f"{name}@example.com", data=wire)


EVE, ADA, BOB, CID = (mail_to(name) for name in ("eve", "ada", "bob", "cid"))


def queue() -> PermitQueue:
    """A queue that gives its permits at once."""
    made = PermitQueue(build_permit())
    made.may_answer.set()
    return made


async def turns() -> None:
    """Run the event loop until all written bytes have arrived."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


@dataclass
class AnnouncedPair:
    """Ada's mail on the only connection, and another mail queued behind it."""

    relay: ScriptedRelay
    queue: PermitQueue = field(default_factory=queue)  # of the second mail
    seconds: float = 5.0  # for each mail
    announcing: AnnounceLimits = field(default_factory=AnnounceLimits)

    async def open(self) -> None:
        """Open a connection that has carried Eve's mail."""
        self.transport = SmtpTransport(SmtpSettings(port=self.relay.port, max_connections=1), self.announcing)
        assert isinstance(await self.transport.send(EVE, seconds=5, before_body=grant_permit), Accepted)

    async def begin(
        self, second: OutgoingMail = BOB, *, reply: str = QUEUED, before_body: RequestPermit = grant_permit
    ) -> None:
        """Send Ada's mail up to its dot, which will get `reply`, and queue the second one."""
        self.relay.resume.clear()
        self.relay.say(ADA.recipient, "DOT", HOLD + reply)
        count = len(self.relay.bodies)
        self.first = self.send(ADA, before_body)
        self.second = self.send(second, self.queue.ask)
        await self.relay.wait_for_bodies(count + 1)
        await turns()

    def send(self, mail: OutgoingMail, before_body: RequestPermit = grant_permit) -> asyncio.Task[Outcome]:
        """Start sending a mail."""
        return asyncio.create_task(self.transport.send(mail, seconds=self.seconds, before_body=before_body))

    async def end(self) -> tuple[Outcome | BaseException, Outcome | BaseException]:
        """Let the relay reply, and return both results."""
        self.relay.resume.set()
        first, second = await asyncio.gather(self.first, self.second, return_exceptions=True)
        return first, second

    @property
    def session(self) -> SmtpSession:
        """The session that sends a mail now."""
        (session,) = self.transport._pool._busy
        return session

    @property
    def socket(self) -> socket.socket:
        """Our socket of this connection."""
        connection: socket.socket = self.session._protocol._transport.get_extra_info("socket")
        return connection

    @property
    def received(self) -> list[str]:
        """The recipients of the accepted mails after Eve's."""
        return [mail.recipient for mail in self.relay.received][1:]
