"""How one claim of a notification ended, before it is decided what that means."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from notifier.outcomes import Outcome
from notifier.states import Reason, Status


class Tried(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A relay was asked; how it went."""

    outcome: Outcome
    relay: str
    started_at: datetime
    seconds: float
    sha256: bytes


@dataclass(frozen=True, kw_only=True)
class Abandoned:
    """The sender died after the body was permitted, and left no reply: nobody knows how far it came."""

    marked_at: datetime


@dataclass(frozen=True, kw_only=True)
class Unwritable:
    """How it ended is known, and the database refuses to hear it."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """The notification ends without asking a relay."""

    status: Status
    reason: Reason
    detail: str


@dataclass(frozen=True, kw_only=True)
class GivenBack:
    """Not begun: a stop, an open circuit, a short lease or a missing mark came first."""


@dataclass(frozen=True, kw_only=True)
class Faulted:
    """Our own code raised."""

    fingerprint: str  # the same for the same error at the same place
    detail: str


Verdict = Tried | Abandoned | Unwritable | Stopped | GivenBack | Faulted


class Circumstances(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What deciding needs besides the verdict."""

    now: datetime
    spread: float  # in [0, 1]: where in the jitter the next try falls
    resend_after: timedelta  # longest wait before an uncertain mail is sent once more
    sender_wait: timedelta  # until the relay is asked again about this sender's domain
