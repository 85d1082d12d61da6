"""The simulated relay, for mail of test keys and to `simulator.example`: it replies, and nothing leaves.

The mail needs the same permit as for a real relay. The simulator suppresses nobody, opens no circuit and uses up no
limit of a relay.
"""

from notifier import email_address
from notifier.delivery.delivery_loader import Delivery
from notifier.delivery.delivery_result import BodyPermits
from notifier.outcomes import (
    Accepted,
    Deferred,
    NotPermitted,
    Outcome,
    RefusalKind,
    Rejected,
    SmtpPhase,
    SmtpReply,
    Uncertain,
)
from notifier.states import Status
from notifier.telemetry import metrics

SIMULATOR_RELAY = "simulator"
"""The name of the relay in attempts."""
_ACCEPTED = Accepted(reply=SmtpReply(code=250, enhanced="2.0.0", text="simulated: accepted"))
_REPLIES: dict[str, Outcome] = {
    "deferred": Deferred(
        phase=SmtpPhase.RCPT, reply=SmtpReply(code=451, enhanced="4.7.1", text="simulated: try again later")
    ),
    "failed": Rejected(
        phase=SmtpPhase.RCPT,
        refused=RefusalKind.RECIPIENT,
        reply=SmtpReply(code=550, enhanced="5.1.1", text="simulated: no such mailbox"),
    ),
    "unknown": Uncertain(detail="simulated: no reply to the final dot"),
}
_FEEDBACK = {"deferred": None, "bounced": Status.BOUNCED, "complained": Status.COMPLAINED}


async def simulate_reply(delivery: Delivery, permits: BodyPermits) -> Outcome:
    """Reply as a relay might. A mail that is cancelled meanwhile gets no permit here either."""
    if await permits.request() is None:
        return NotPermitted(detail="not permitted to begin")
    outcome = _REPLIES.get(_get_requested_outcome(delivery), _ACCEPTED)
    return _ACCEPTED if isinstance(outcome, Deferred) and permits.entry.attempts else outcome


def get_feedback(delivery: Delivery) -> Status | None:
    """Return the status that follows when a simulated mail was accepted; None: no other."""
    return _FEEDBACK.get(_get_requested_outcome(delivery), Status.DELIVERED)


def count_attempt(outcome: Outcome) -> None:
    """Count an attempt, separately from those at relays."""
    if not isinstance(outcome, NotPermitted):
        metrics.ATTEMPTS.labels(SIMULATOR_RELAY, type(outcome).__name__.lower()).inc()


def _get_requested_outcome(delivery: Delivery) -> str:
    """Return what the recipient's name requests: `bounced` for `Bounced+label@simulator.example`; else nothing."""
    if not email_address.is_simulated_address(delivery.recipient):
        return ""
    return delivery.recipient.partition("@")[0].partition("+")[0].lower()
