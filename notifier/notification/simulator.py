"""The simulated relay, for mail of test keys and to `simulator.example`: it replies, and nothing leaves.

The mail needs the same permit as for a real relay. The simulator suppresses nobody, opens no circuit and uses up no
limit of a relay.
"""

from notifier import address
from notifier.notification.gate import Gate
from notifier.notification.load import Delivery
from notifier.outcomes import Accepted, Deferred, NotPermitted, Outcome, Phase, Refused, Rejected, Reply, Uncertain
from notifier.states import KeyKind, Status
from notifier.telemetry import metrics

RELAY = "simulator"
"""The name of the relay in attempts."""
_ACCEPTED = Accepted(reply=Reply(code=250, enhanced="2.0.0", text="simulated: accepted"))
_ANSWERS: dict[str, Outcome] = {
    "deferred": Deferred(phase=Phase.RCPT, reply=Reply(code=451, enhanced="4.7.1", text="simulated: try again later")),
    "failed": Rejected(
        phase=Phase.RCPT,
        refused=Refused.RECIPIENT,
        reply=Reply(code=550, enhanced="5.1.1", text="simulated: no such mailbox"),
    ),
    "unknown": Uncertain(detail="simulated: no reply to the final dot"),
}
_FEEDBACK = {"deferred": None, "bounced": Status.BOUNCED, "complained": Status.COMPLAINED}


def simulates(delivery: Delivery) -> bool:
    """True if this mail must not go to a relay."""
    return delivery.kind is KeyKind.TEST or address.is_simulated(delivery.recipient)


async def answer(delivery: Delivery, gate: Gate) -> Outcome:
    """Reply as a relay might. A mail that is cancelled meanwhile gets no permit here either."""
    if await gate.ask() is None:
        return NotPermitted(detail="not permitted to begin")
    outcome = _ANSWERS.get(_name(delivery), _ACCEPTED)
    return _ACCEPTED if isinstance(outcome, Deferred) and gate.entry.attempts else outcome


def feedback(delivery: Delivery) -> Status | None:
    """The status that follows an accepted mail; None: no other, or the mail really left."""
    return _FEEDBACK.get(_name(delivery), Status.DELIVERED) if simulates(delivery) else None


def count(outcome: Outcome) -> None:
    """Count an attempt, separately from those at relays."""
    if not isinstance(outcome, NotPermitted):
        metrics.ATTEMPTS.labels(RELAY, type(outcome).__name__.lower()).inc()


def _name(delivery: Delivery) -> str:
    """The outcome that the recipient's name requests: `bounced` in `Bounced+label@simulator.example`; else nothing."""
    if not address.is_simulated(delivery.recipient):
        return ""
    return delivery.recipient.partition("@")[0].partition("+")[0].lower()
