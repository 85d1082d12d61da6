"""What becomes of mail that never leaves: of test keys, and to `simulator.example` whoever asks for it.

It takes the place of the relay, behind the queue's permit. Nothing that it says changes what other mail may do: it
suppresses nobody, opens no circuit and uses up no limit of a relay.
"""

from notifier import address
from notifier.notification.gate import Gate
from notifier.notification.load import Delivery
from notifier.outcomes import Accepted, Deferred, NotPermitted, Outcome, Phase, Refused, Rejected, Reply, Uncertain
from notifier.states import KeyKind, Status
from notifier.telemetry import metrics

RELAY = "simulator"
"""What attempts say about whom they asked."""
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
    """True if no relay may hear of this mail."""
    return delivery.kind is KeyKind.TEST or address.is_simulated(delivery.recipient)


async def answer(delivery: Delivery, gate: Gate) -> Outcome:
    """What a relay might have said. A mail that is cancelled meanwhile is not permitted here either."""
    if await gate.ask() is None:
        return NotPermitted(detail="not permitted to begin")
    said = _ANSWERS.get(_name(delivery), _ACCEPTED)
    if isinstance(said, Deferred) and gate.entry.attempts:
        return _ACCEPTED
    return said


def feedback(delivery: Delivery) -> Status | None:
    """What is heard of an accepted mail afterwards; None: nothing, or the mail really left."""
    return _FEEDBACK.get(_name(delivery), Status.DELIVERED) if simulates(delivery) else None


def count(outcome: Outcome) -> None:
    """Count an attempt, apart from those at relays."""
    if not isinstance(outcome, NotPermitted):
        metrics.ATTEMPTS.labels(RELAY, type(outcome).__name__.lower()).inc()


def _name(delivery: Delivery) -> str:
    """What a recipient at the simulator asks for: `bounced` in `Bounced+label@simulator.example`; else nothing."""
    if not address.is_simulated(delivery.recipient):
        return ""
    return delivery.recipient.partition("@")[0].partition("+")[0].lower()
