"""MAIL, RCPT, DATA and the body for one mail: in one flight where the relay offers PIPELINING, else step by step.

It knows at each moment whether the final dot may have left, which decides whether a mail may be sent again, and begins
no body without the queue's permit. While the reply to the dot is awaited, the next mail's envelope may have been said.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from notifier.outcomes import Accepted, CircuitReason, NotPermitted, Outcome, Phase, Refused, Rejected, Reply, Uncertain
from notifier.smtp import replies
from notifier.smtp.claims import find_claim
from notifier.smtp.mail import BeforeBody, Dropped, Mail, Permit
from notifier.smtp.wire import CLOSED, TIMED_OUT, Answer, Wire

COMMAND_SECONDS = {Phase.MAIL: 60.0, Phase.RCPT: 60.0, Phase.DATA: 120.0}
DOT_SECONDS = 600.0  # RFC 5321 §4.5.3.2.6
SLOWEST_BYTES_PER_SECOND = 32 * 1024
RESET_SECONDS = 10.0
SLICE = 64 * 1024  # octets of a body that are written at once
_ENVELOPE = (Phase.MAIL, Phase.RCPT, Phase.DATA)
_SAID = (b"", b"", b"")
_ABOUT_ADDRESS = "2.1."
_OK, _FORWARD, _START_INPUT = 250, 251, 354
_LEADING_DOT = re.compile(rb"\n\.")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What the relay's EHLO promised."""

    pipelining: bool = False  # RFC 2920
    sized: bool = False  # RFC 1870: it understands SIZE= at MAIL
    size_limit: int | None = None  # octets


class Transaction:
    """One mail, to be carried by one connection; `clean` tells afterwards whether that may carry another."""

    def __init__(self, mail: Mail, *, deadline: float, before_body: BeforeBody) -> None:
        self.clean = False
        self.announced = False  # its envelope was said behind the body of the mail before
        self._mail = mail
        self._deadline = deadline  # seconds of `time.monotonic`
        self._before_body = before_body
        self._permit: asyncio.Future[Permit | None] | None = None
        self._phase = Phase.MAIL
        self._answers: dict[Phase, Answer] = {}

    def announce(self, offer: Offer) -> bytes:
        """What to say of it behind the body of the mail before (RFC 2920 §3.1), with the queue asked for its permit.

        Nothing if that cannot be done: what is wrong with this mail must not be heard by the other one.
        """
        if not offer.pipelining or self._is_too_large(offer):
            return b""
        try:
            flight = self._flights(offer)[0]
            self._ask()
        except Exception:  # noqa: BLE001 - it is tried again, and then raises where it belongs
            return b""
        self.announced = True
        return flight

    async def run(self, wire: Wire, offer: Offer, *, whats_next: Callable[[], bytes]) -> Outcome | Dropped:
        """All of it. Unless it ends clean, the connection is cut before this returns or raises.

        `whats_next` is asked once the body has left: what to say before it is answered.
        """
        if self._is_too_large(offer):
            self.clean = True
            detail = f"{len(self._mail.wire)} octets, and the relay takes {offer.size_limit}"
            return Rejected(phase=Phase.MAIL, refused=Refused.SIZE, detail=detail)
        self._wire, self._offer, self._whats_next = wire, offer, whats_next
        self._followed = False
        try:
            await self._envelope()
            refusal = self._refusal()
            if refusal is not None:
                self.withdraw()
                await self._tidy_up()
                return self._dropped() if wire.out_of_turn else refusal
            permit = await self._permission()
            return permit if isinstance(permit, NotPermitted | Dropped) else await self._body(permit)
        finally:
            self.withdraw()
            wire.unlimit()
            self.clean = self.clean and (wire.idle or (self._followed and wire.stands))
            if not self.clean:
                wire.lose("given up")

    def withdraw(self) -> None:
        """A permit that is still being asked for is not wanted any more; nobody waits to hear of it."""
        if self._permit is not None:
            self._permit.add_done_callback(_ignore)
            self._permit.cancel()
            self._permit = None

    # -- the envelope -----------------------------------------------------------------------------

    def _is_too_large(self, offer: Offer) -> bool:
        return offer.size_limit is not None and len(self._mail.wire) > offer.size_limit

    def _is_speakable(self) -> bool:
        return not _CONTROL.search(self._mail.sender + self._mail.recipient)

    def _flights(self, offer: Offer) -> tuple[bytes, bytes, bytes]:
        """What is said before the reply to MAIL, RCPT and DATA is waited for. Raises `ValueError` for an address."""
        sender, recipient = self._mail.sender, self._mail.recipient
        if not self._is_speakable():
            raise ValueError("an address with a control character would be a command of its own")
        options = f" SIZE={len(self._mail.wire)}" if offer.sized else ""
        if not (sender.isascii() and recipient.isascii()):
            options += " SMTPUTF8"  # RFC 6531 §3.4
        if offer.pipelining:
            return f"MAIL FROM:<{sender}>{options}\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode(), b"", b""
        return f"MAIL FROM:<{sender}>{options}\r\n".encode(), f"RCPT TO:<{recipient}>\r\n".encode(), b"DATA\r\n"

    def _ask(self) -> None:
        """The relay is asked for its 354, and the queue for its permit."""
        self._permit = asyncio.ensure_future(self._before_body())

    async def _envelope(self) -> None:
        """Speak and listen until the relay has answered all that was said, has refused, or is gone."""
        wire = self._wire
        flights = _SAID if self.announced else self._flights(self._offer)
        for phase, flight in zip(_ENVELOPE, flights, strict=True):
            self._phase = phase
            if not wire.heard:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    wire.lose("no time left")
                if wire.lost is not None:
                    return
                if flight:
                    wire.command(flight, answers=flight.count(b"\n"))
                    if flight.endswith(b"DATA\r\n"):
                        self._ask()
                wire.limit(min(COMMAND_SECONDS[phase], left))
            answer = await wire.answer()
            if answer is None:
                return
            self._answers[phase] = answer
            if answer.code == replies.CLOSING or not (_agrees(phase, answer) or self._offer.pipelining):
                return

    def _refusal(self) -> Outcome | Dropped | None:
        """What the answers come to; None if the relay waits for the body.

        Where one of them is no answer to its question none is believed: it may be the answer to another one.
        """
        refused = [phase for phase, answer in self._answers.items() if not _agrees(phase, answer)]
        strange = [phase for phase in refused if not _is_refusal(self._answers[phase])]
        if strange:
            self._wire.lose(f"unexpected reply: {self._answers[strange[0]]}", out_of_turn=True)
            return self._dropped()
        if not refused:
            return None if len(self._answers) == len(_ENVELOPE) else self._dropped()
        self._phase = refused[0]
        answer = self._answers[self._phase]
        if answer.code == replies.CLOSING:
            return self._dropped(replies.parse(answer.code, answer.text))
        if self.announced and not self._is_told_to_us(refused):
            self._wire.lose(f"a refusal that does not fit: {answer}", out_of_turn=True)
            return self._dropped()
        return self._judge(replies.parse(answer.code, answer.text))

    def _is_told_to_us(self, refused: list[Phase]) -> bool:
        """False if one reply too many to the mail before would look the same; on a fresh connection nothing would."""
        whole = len(self._answers) == len(_ENVELOPE)
        return whole and (Phase.MAIL not in refused or len(refused) == len(_ENVELOPE))

    def _judge(self, reply: Reply) -> Outcome:
        return replies.judge(self._phase, reply, self._mail.recipient, self._mail.sender)

    def _dropped(self, last: Reply | None = None) -> Dropped:
        """The connection ended; with 421 as its `last` reply, which answers no command (RFC 5321 §3.8)."""
        first = self._answers.get(Phase.MAIL)
        answered = first is not None and first.code != replies.CLOSING
        said = find_claim(self._phase, last, sender="", recipient="") if last else None
        claim = said if answered else CircuitReason.CLOSED
        detail = str(last) if last else self._wire.lost or CLOSED
        return Dropped(phase=self._phase, answered=answered, detail=detail, claim=claim)

    async def _tidy_up(self) -> None:
        """After a refusal, bring the connection to where the next mail can begin; if that fails, it cannot."""
        left = min(RESET_SECONDS, self._deadline - time.monotonic())
        if left <= 0 or not self._wire.idle or any(a.code == replies.CLOSING for a in self._answers.values()):
            return
        self._wire.limit(left)
        if self._permits(Phase.DATA):  # it waits for a body that has no recipient (RFC 2920 §3.1)
            self._wire.command(b".\r\n")
            answer = await self._wire.answer()
            self.clean = answer is not None and 500 <= answer.code < 600  # noqa: PLR2004
        elif self._permits(Phase.MAIL) or self.announced:  # then it shows whether the answers before were in step
            self._wire.command(b"RSET\r\n")
            answer = await self._wire.answer()
            self.clean = answer is not None and answer.code == _OK
            if (self.announced and not self.clean) or (answer is not None and answer.code == _START_INPUT):
                self._wire.lose(f"unexpected reply: {answer}", out_of_turn=True)
        else:
            self.clean = True  # without MAIL there is nothing to reset

    def _permits(self, phase: Phase) -> bool:
        return phase in self._answers and _agrees(phase, self._answers[phase])

    # -- the permit -------------------------------------------------------------------------------

    async def _permission(self) -> Permit | NotPermitted | Dropped:
        """The queue's permit, which has been on its way since DATA was said. Raises what asking for it raised."""
        assert self._permit is not None
        self._wire.limit(self._deadline - time.monotonic())
        if not await self._wire.finished(self._permit):
            late = self._wire.lost == TIMED_OUT
            return NotPermitted(detail="no permission in time") if late else self._dropped()
        permit, self._permit = self._permit.result(), None
        return permit or NotPermitted(detail="not permitted to begin")

    # -- the body ---------------------------------------------------------------------------------

    async def _body(self, permit: Permit) -> Outcome | Dropped:
        """The body, the final dot and the reply to it."""
        data = _stuffed(self._mail.wire) + b".\r\n"
        seconds = DOT_SECONDS + len(data) / SLOWEST_BYTES_PER_SECOND
        now = time.monotonic()
        if now > permit.first_byte_by or now >= permit.ends or not permit.may_go_on():
            return NotPermitted(detail="permitted too late")
        self._phase = Phase.BODY
        self._wire.limit(min(seconds, permit.ends - now))
        if not await self._write(memoryview(data), permit):
            return NotPermitted(detail="the permission ended in the middle of the body")
        if self._wire.taken:  # else a lost connection would leave it open whether the dot is with the relay
            self._follow()
        answer = await self._wire.answer()
        if answer is not None:
            return self._verdict(answer)
        if self._wire.taken:
            return Uncertain(detail=f"no reply to the final dot: {self._wire.lost}")
        return self._dropped()

    def _follow(self) -> None:
        """Say what the next mail has to say; its answers come behind the one to our dot."""
        if flight := self._whats_next():
            self._wire.command(flight, answers=flight.count(b"\n"))
            self._followed = True

    async def _write(self, data: memoryview, permit: Permit) -> bool:
        """Write slice after slice as the socket takes them; False if the permit ended before the last one."""
        for start in range(0, len(data), SLICE):
            if start:
                if not await self._wire.drained():
                    break
                if not permit.may_go_on():
                    return False
            self._wire.body(data[start : start + SLICE], last=start + SLICE >= len(data))
        return True

    def _verdict(self, answer: Answer) -> Outcome | Dropped:
        """What the reply to the final dot comes to; a connection that is out of step is only believed when it agrees.

        421 is a definite reply: the relay did not take responsibility.
        """
        reply = replies.parse(answer.code, answer.text)
        # Where the relay forgets our dot, the next answer is to the MAIL behind it, and may say so (RFC 3463 §3.2).
        forgotten = self._followed and (reply.enhanced or "").startswith(_ABOUT_ADDRESS)
        if answer.code == _OK and not forgotten:
            self.clean = True
            return Accepted(reply=reply)
        if not _is_refusal(answer):  # nor do the answers behind it belong to what the next mail has said
            self._wire.lose(f"unexpected reply: {reply}", out_of_turn=True)
        if not _is_refusal(answer) or self._wire.out_of_turn:
            return Uncertain(detail=f"unexpected reply to the final dot: {reply}")
        if answer.code == replies.CLOSING:
            return self._dropped(reply)
        self.clean = True
        return self._judge(reply)


def _stuffed(wire: bytes) -> bytes:
    """With each leading dot doubled (RFC 5321 §4.5.2); to look for one first takes a third of replacing none."""
    data = wire.replace(b"\n.", b"\n..") if _LEADING_DOT.search(wire) else wire
    return b"." + data if data.startswith(b".") else data


def _agrees(phase: Phase, answer: Answer) -> bool:
    return answer.code == _START_INPUT if phase is Phase.DATA else answer.code in (_OK, _FORWARD)


def _is_refusal(answer: Answer) -> bool:
    return 400 <= answer.code < 600  # noqa: PLR2004


def _ignore(permit: asyncio.Future[Permit | None]) -> None:
    """Look at what became of it, because asyncio complains about an exception that nobody looks at."""
    if not permit.cancelled():
        permit.exception()
