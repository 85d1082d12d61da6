"""The fault relay's behaviour for each recipient, as its address says, such as `dropdot+7@example.com`.

A fault happens once, or as often as `_TIMES` says; afterwards the address is accepted like any other.
"""

import random
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """The part of an address before the plus."""

    DEFER2 = "defer2"  # 450 at RCPT, twice
    REFUSEDOT = "refusedot"  # 450 at the dot
    HANGDATA = "hangdata"  # silence at DATA, then the connection is dropped
    LATEDATA = "latedata"  # 354 after a while
    DROPDOT = "dropdot"  # accepts the mail and drops the connection without a reply
    LATE = "late"  # accepts the mail and replies after a while
    DRIP = "drip"  # every reply from RCPT on byte by byte
    GARBAGE = "garbage"  # something that is not SMTP instead of the reply to RCPT
    LONE354 = "lone354"  # refuses RCPT for good, and answers DATA with 354 all the same
    SLOW = "slow"  # every reply from RCPT on after a random moment


class Moment(StrEnum):
    """The moment of a transaction at which the relay acts."""

    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    DOT = "DOT"


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The relay's delays in seconds."""

    delay: float = 0.0  # maximum random delay of the replies to RCPT and to the dot
    late: float = 3.0  # for `late` and `latedata`
    hang: float = 3.0  # until `hangdata` drops the connection
    drip: float = 0.05  # between two bytes
    slow: tuple[float, float] = (0.005, 0.05)


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What the relay does at one moment."""

    reply: bytes = b""
    after: float = 0.0  # seconds of silence first
    drip: float = 0.0  # seconds between two bytes
    drops: bool = False  # closes the connection afterwards

    @property
    def code(self) -> str:
        """The reply code that is sent at once, if any."""
        return self.reply[:3].decode() if self.reply and not self.after and not self.drip else "none"


OK = b"250 2.0.0 ok\r\n"
_USUAL = {Moment.MAIL: OK, Moment.RCPT: OK, Moment.DATA: b"354 go ahead\r\n", Moment.DOT: OK}
_PLAIN = {moment: Step(reply=reply) for moment, reply in _USUAL.items()}
_FAULTS = {fault.value: fault for fault in Fault}
_TIMES = {Fault.DEFER2: 2, Fault.LONE354: 1000}
NO_RECIPIENT = Step(reply=b"554 5.5.1 no valid recipients\r\n")


class Script:
    """Decides the relay's steps, and remembers the earlier ones for each recipient."""

    def __init__(self, pace: Pace, seed: int = 0) -> None:
        self._pace = pace
        self._random = random.Random(seed)
        self._table = _table(pace)
        self._done: Counter[tuple[str, Moment]] = Counter()

    def step(self, recipient: str, moment: Moment) -> Step:
        """Return the next step, and count it as done."""
        fault = _FAULTS.get(recipient.partition("+")[0])
        if fault is None:
            return self._usual(moment)
        return self._get_fault_step(fault, recipient, moment) or self._usual(moment)

    def _usual(self, moment: Moment) -> Step:
        if not self._pace.delay or moment in (Moment.MAIL, Moment.DATA):
            return _PLAIN[moment]
        return Step(reply=_USUAL[moment], after=self._random.uniform(0, self._pace.delay))

    def _get_fault_step(self, fault: Fault, recipient: str, moment: Moment) -> Step | None:
        if fault is Fault.SLOW:
            return Step(reply=_USUAL[moment], after=self._random.uniform(*self._pace.slow))
        if fault is Fault.DRIP:
            return Step(reply=_USUAL[moment], drip=self._pace.drip)
        step = self._table.get((fault, moment))
        if step is None:
            return None
        self._done[recipient, moment] += 1
        return step if self._done[recipient, moment] <= _TIMES.get(fault, 1) else None


def _table(pace: Pace) -> dict[tuple[Fault, Moment], Step]:
    """Return the unusual steps by fault and moment."""
    return {
        (Fault.DEFER2, Moment.RCPT): Step(reply=b"450 4.2.0 come again\r\n"),
        (Fault.GARBAGE, Moment.RCPT): Step(reply=b"\xff\x00 what?\r\n"),
        (Fault.LONE354, Moment.RCPT): Step(reply=b"550 5.1.1 nobody here\r\n"),
        (Fault.HANGDATA, Moment.DATA): Step(after=pace.hang, drops=True),
        (Fault.LATEDATA, Moment.DATA): Step(reply=_USUAL[Moment.DATA], after=pace.late),
        (Fault.REFUSEDOT, Moment.DOT): Step(reply=b"450 4.3.0 not now\r\n"),
        (Fault.DROPDOT, Moment.DOT): Step(drops=True),
        (Fault.LATE, Moment.DOT): Step(reply=OK, after=pace.late),
    }
