"""MAIL, RCPT, DATA and the body for one mail: in one flight where the relay offers PIPELINING, else step by step.

It knows at each moment whether the final dot may have left, which decides whether a mail may be sent again, and begins
no body without the queue's permit. While the reply to the dot is awaited, the next mail's envelope may have been said.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from notifier.outcomes import (
    Accepted,
    CircuitReason,
    NotPermitted,
    Outcome,
    RefusalKind,
    Rejected,
    SmtpPhase,
    SmtpReply,
    Uncertain,
)
from notifier.smtp import reply_meaning
from notifier.smtp.line_protocol import CLOSED, TIMED_OUT, LineProtocol, RawReply
from notifier.smtp.outgoing_mail import DroppedConnection, OutgoingMail, Permit, RequestPermit
from notifier.smtp.reported_fault import find_reported_fault

COMMAND_TIMEOUTS = {SmtpPhase.MAIL: 60.0, SmtpPhase.RCPT: 60.0, SmtpPhase.DATA: 120.0}
DOT_TIMEOUT_SECONDS = 600.0  # RFC 5321 §4.5.3.2.6
MIN_BYTES_PER_SECOND = 32 * 1024
RESET_TIMEOUT_SECONDS = 10.0
SLICE_BYTES = 64 * 1024  # octets of a body that are written at once
_ENVELOPE = (SmtpPhase.MAIL, SmtpPhase.RCPT, SmtpPhase.DATA)
_ANNOUNCED_FLIGHTS = (b"", b"", b"")
_ABOUT_ADDRESS = "2.1."
_OK, _FORWARD, _START_INPUT = 250, 251, 354
_LEADING_DOT = re.compile(rb"\n\.")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class RelayFeatures:
    """What the relay's EHLO promised."""

    pipelining: bool = False  # RFC 2920
    supports_size: bool = False  # RFC 1870: it understands SIZE= at MAIL
    size_limit: int | None = None  # octets


class SmtpTransaction:
    """One mail, to be carried by one connection; `clean` tells afterwards whether that may carry another."""

    def __init__(self, mail: OutgoingMail, *, deadline: float, before_body: RequestPermit) -> None:
        self.is_reusable = False
        self.is_announced = False  # its envelope was said behind the body of the mail before
        self._mail = mail
        self._deadline = deadline  # seconds of `time.monotonic`
        self._before_body = before_body
        self._permit: asyncio.Future[Permit | None] | None = None
        self._phase = SmtpPhase.MAIL
        self._answers: dict[SmtpPhase, RawReply] = {}

    def announce(self, offer: RelayFeatures) -> bytes:
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
        self.is_announced = True
        return flight

    async def run(
        self, wire: LineProtocol, offer: RelayFeatures, *, whats_next: Callable[[], bytes]
    ) -> Outcome | DroppedConnection:
        """All of it. Unless it ends clean, the connection is cut before this returns or raises.

        `whats_next` is asked once the body has left: what to say before it is answered.
        """
        if self._is_too_large(offer):
            self.is_reusable = True
            detail = f"{len(self._mail.data)} octets, and the relay takes {offer.size_limit}"
            return Rejected(phase=SmtpPhase.MAIL, refused=RefusalKind.SIZE, detail=detail)
        self._wire, self._offer, self._whats_next = wire, offer, whats_next
        self._followed = False
        try:
            await self._envelope()
            refusal = self._refusal()
            if refusal is not None:
                self.withdraw()
                await self._tidy_up()
                return self._dropped() if wire.is_out_of_step else refusal
            permit = await self._permission()
            return permit if isinstance(permit, NotPermitted | DroppedConnection) else await self._body(permit)
        finally:
            self.withdraw()
            wire.clear_deadline()
            self.is_reusable = self.is_reusable and (wire.is_idle or (self._followed and wire.is_connected))
            if not self.is_reusable:
                wire.disconnect("given up")

    def withdraw(self) -> None:
        """A permit that is still being asked for is not wanted any more; nobody waits to hear of it."""
        if self._permit is not None:
            self._permit.add_done_callback(_ignore_result)
            self._permit.cancel()
            self._permit = None

    # -- the envelope -----------------------------------------------------------------------------

    def _is_too_large(self, offer: RelayFeatures) -> bool:
        return offer.size_limit is not None and len(self._mail.data) > offer.size_limit

    def _is_speakable(self) -> bool:
        return not _CONTROL_CHARACTER.search(self._mail.sender + self._mail.recipient)

    def _flights(self, offer: RelayFeatures) -> tuple[bytes, bytes, bytes]:
        """What is said before the reply to MAIL, RCPT and DATA is waited for. Raises `ValueError` for an address."""
        sender, recipient = self._mail.sender, self._mail.recipient
        if not self._is_speakable():
            raise ValueError("an address with a control character would be a command of its own")
        options = f" SIZE={len(self._mail.data)}" if offer.supports_size else ""
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
        flights = _ANNOUNCED_FLIGHTS if self.is_announced else self._flights(self._offer)
        for phase, flight in zip(_ENVELOPE, flights, strict=True):
            self._phase = phase
            if not wire.has_reply:
                left = self._deadline - time.monotonic()
                if left <= 0:
                    wire.disconnect("no time left")
                if wire.lost_reason is not None:
                    return
                if flight:
                    wire.send_command(flight, answers=flight.count(b"\n"))
                    if flight.endswith(b"DATA\r\n"):
                        self._ask()
                wire.set_deadline(min(COMMAND_TIMEOUTS[phase], left))
            answer = await wire.read_reply()
            if answer is None:
                return
            self._answers[phase] = answer
            if answer.code == reply_meaning.SERVICE_CLOSING or not (
                _is_positive(phase, answer) or self._offer.pipelining
            ):
                return

    def _refusal(self) -> Outcome | DroppedConnection | None:
        """What the answers come to; None if the relay waits for the body.

        Where one of them is no answer to its question none is believed: it may be the answer to another one.
        """
        refused = [phase for phase, answer in self._answers.items() if not _is_positive(phase, answer)]
        strange = [phase for phase in refused if not _is_refusal(self._answers[phase])]
        if strange:
            self._wire.disconnect(f"unexpected reply: {self._answers[strange[0]]}", out_of_turn=True)
            return self._dropped()
        if not refused:
            return None if len(self._answers) == len(_ENVELOPE) else self._dropped()
        self._phase = refused[0]
        answer = self._answers[self._phase]
        if answer.code == reply_meaning.SERVICE_CLOSING:
            return self._dropped(reply_meaning.parse_reply(answer.code, answer.text))
        if self.is_announced and not self._is_told_to_us(refused):
            self._wire.disconnect(f"a refusal that does not fit: {answer}", out_of_turn=True)
            return self._dropped()
        return self._judge(reply_meaning.parse_reply(answer.code, answer.text))

    def _is_told_to_us(self, refused: list[SmtpPhase]) -> bool:
        """False if one reply too many to the mail before would look the same; on a fresh connection nothing would."""
        whole = len(self._answers) == len(_ENVELOPE)
        return whole and (SmtpPhase.MAIL not in refused or len(refused) == len(_ENVELOPE))

    def _judge(self, reply: SmtpReply) -> Outcome:
        return reply_meaning.classify_reply(self._phase, reply, self._mail.recipient, self._mail.sender)

    def _dropped(self, last: SmtpReply | None = None) -> DroppedConnection:
        """The connection ended; with 421 as its `last` reply, which answers no command (RFC 5321 §3.8)."""
        first = self._answers.get(SmtpPhase.MAIL)
        answered = first is not None and first.code != reply_meaning.SERVICE_CLOSING
        said = find_reported_fault(self._phase, last, sender="", recipient="") if last else None
        claim = said if answered else CircuitReason.CLOSED
        detail = str(last) if last else self._wire.lost_reason or CLOSED
        return DroppedConnection(phase=self._phase, is_attempt=answered, detail=detail, reported_fault=claim)

    async def _tidy_up(self) -> None:
        """After a refusal, bring the connection to where the next mail can begin; if that fails, it cannot."""
        left = min(RESET_TIMEOUT_SECONDS, self._deadline - time.monotonic())
        if (
            left <= 0
            or not self._wire.is_idle
            or any(a.code == reply_meaning.SERVICE_CLOSING for a in self._answers.values())
        ):
            return
        self._wire.set_deadline(left)
        if self._permits(SmtpPhase.DATA):  # it waits for a body that has no recipient (RFC 2920 §3.1)
            self._wire.send_command(b".\r\n")
            answer = await self._wire.read_reply()
            self.is_reusable = answer is not None and 500 <= answer.code < 600  # noqa: PLR2004
        elif (
            self._permits(SmtpPhase.MAIL) or self.is_announced
        ):  # then it shows whether the answers before were in step
            self._wire.send_command(b"RSET\r\n")
            answer = await self._wire.read_reply()
            self.is_reusable = answer is not None and answer.code == _OK
            if (self.is_announced and not self.is_reusable) or (answer is not None and answer.code == _START_INPUT):
                self._wire.disconnect(f"unexpected reply: {answer}", out_of_turn=True)
        else:
            self.is_reusable = True  # without MAIL there is nothing to reset

    def _permits(self, phase: SmtpPhase) -> bool:
        return phase in self._answers and _is_positive(phase, self._answers[phase])

    # -- the permit -------------------------------------------------------------------------------

    async def _permission(self) -> Permit | NotPermitted | DroppedConnection:
        """The queue's permit, which has been on its way since DATA was said. Raises what asking for it raised."""
        assert self._permit is not None
        self._wire.set_deadline(self._deadline - time.monotonic())
        if not await self._wire.wait_for(self._permit):
            late = self._wire.lost_reason == TIMED_OUT
            return NotPermitted(detail="no permission in time") if late else self._dropped()
        permit, self._permit = self._permit.result(), None
        return permit or NotPermitted(detail="not permitted to begin")

    # -- the body ---------------------------------------------------------------------------------

    async def _body(self, permit: Permit) -> Outcome | DroppedConnection:
        """The body, the final dot and the reply to it."""
        data = _stuff_dots(self._mail.data) + b".\r\n"
        seconds = DOT_TIMEOUT_SECONDS + len(data) / MIN_BYTES_PER_SECOND
        now = time.monotonic()
        if now > permit.first_byte_by or now >= permit.ends or not permit.may_continue():
            return NotPermitted(detail="permitted too late")
        self._phase = SmtpPhase.BODY
        self._wire.set_deadline(min(seconds, permit.ends - now))
        if not await self._write(memoryview(data), permit):
            return NotPermitted(detail="the permission ended in the middle of the body")
        if self._wire.is_body_taken:  # else a lost connection would leave it open whether the dot is with the relay
            self._follow()
        answer = await self._wire.read_reply()
        if answer is not None:
            return self._verdict(answer)
        if self._wire.is_body_taken:
            return Uncertain(detail=f"no reply to the final dot: {self._wire.lost_reason}")
        return self._dropped()

    def _follow(self) -> None:
        """Say what the next mail has to say; its answers come behind the one to our dot."""
        if flight := self._whats_next():
            self._wire.send_command(flight, answers=flight.count(b"\n"))
            self._followed = True

    async def _write(self, data: memoryview, permit: Permit) -> bool:
        """Write slice after slice as the socket takes them; False if the permit ended before the last one."""
        for start in range(0, len(data), SLICE_BYTES):
            if start:
                if not await self._wire.wait_until_drained():
                    break
                if not permit.may_continue():
                    return False
            self._wire.write_body(data[start : start + SLICE_BYTES], last=start + SLICE_BYTES >= len(data))
        return True

    def _verdict(self, answer: RawReply) -> Outcome | DroppedConnection:
        """What the reply to the final dot comes to; a connection that is out of step is only believed when it agrees.

        421 is a definite reply: the relay did not take responsibility.
        """
        reply = reply_meaning.parse_reply(answer.code, answer.text)
        # Where the relay forgets our dot, the next answer is to the MAIL behind it, and may say so (RFC 3463 §3.2).
        forgotten = self._followed and (reply.enhanced or "").startswith(_ABOUT_ADDRESS)
        if answer.code == _OK and not forgotten:
            self.is_reusable = True
            return Accepted(reply=reply)
        if not _is_refusal(answer):  # nor do the answers behind it belong to what the next mail has said
            self._wire.disconnect(f"unexpected reply: {reply}", out_of_turn=True)
        if not _is_refusal(answer) or self._wire.is_out_of_step:
            return Uncertain(detail=f"unexpected reply to the final dot: {reply}")
        if answer.code == reply_meaning.SERVICE_CLOSING:
            return self._dropped(reply)
        self.is_reusable = True
        return self._judge(reply)


def _stuff_dots(wire: bytes) -> bytes:
    """With each leading dot doubled (RFC 5321 §4.5.2); to look for one first takes a third of replacing none."""
    data = wire.replace(b"\n.", b"\n..") if _LEADING_DOT.search(wire) else wire
    return b"." + data if data.startswith(b".") else data


def _is_positive(phase: SmtpPhase, answer: RawReply) -> bool:
    return answer.code == _START_INPUT if phase is SmtpPhase.DATA else answer.code in (_OK, _FORWARD)


def _is_refusal(answer: RawReply) -> bool:
    return 400 <= answer.code < 600  # noqa: PLR2004


def _ignore_result(permit: asyncio.Future[Permit | None]) -> None:
    """Look at what became of it, because asyncio complains about an exception that nobody looks at."""
    if not permit.cancelled():
        permit.exception()
