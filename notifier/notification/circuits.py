"""What each try teaches about the relay and about the senders' domains at it: circuits, counts, and one log line."""

from collections.abc import Callable
from datetime import timedelta

from notifier import address
from notifier.clock import Clock
from notifier.outcomes import Accepted, Deferred, NotPermitted, NotTried, Outcome, Rejected, Scope, Uncertain
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.telemetry.redaction import redact
from notifier.throttle.circuit import Circuit

_COUNTED = (Accepted, Deferred, Rejected, Uncertain)


Listener = Callable[[str | None], None]
"""Who hears why the relay is out of reach, or (None) that it takes mail again."""


def _nobody(_: str | None) -> None:
    """Nobody wants to hear it."""


class Circuits:
    """One circuit for the relay, and one for each domain that it refuses to send for."""

    def __init__(self, relay_name: str, clock: Clock) -> None:
        self.relay = Circuit(clock)
        self._name = relay_name
        self.tell: Listener = _nobody
        self._clock = clock
        self._senders: dict[str, Circuit] = {}
        self._log = get_logger()
        self._seconds = metrics.SMTP_SECONDS.labels(relay_name)
        self._is_open = metrics.CIRCUIT_OPEN.labels(relay_name)
        self._shown_open = False
        self._attempts = {kind: metrics.ATTEMPTS.labels(relay_name, kind.__name__.lower()) for kind in _COUNTED}

    def obstacle(self, sender: str) -> NotTried | None:
        """Why a mail from this address need not be tried now; None if it may."""
        circuit = self._of(sender)
        if circuit is None or not circuit.is_open or circuit.probe_is_due:
            return None
        return NotTried(detail=circuit.reason or "", scope=Scope.SENDER)

    def wait_for(self, sender: str) -> timedelta:
        """How long until the relay is asked again about this address's domain."""
        circuit = self._of(sender)
        return timedelta(seconds=circuit.seconds_to_probe() if circuit else 0.0)

    def _of(self, sender: str) -> Circuit | None:
        return self._senders.get(address.domain(sender)) if self._senders else None

    def learn(self, sender: str, outcome: Outcome, seconds: float) -> None:
        """Open or close circuits, and count."""
        if isinstance(outcome, NotPermitted):
            return  # says nothing about the relay
        if isinstance(outcome, NotTried):
            self._failed(sender, outcome)
        else:
            self._attempts[type(outcome)].inc()
            self._seconds.observe(seconds)
            if self.relay.is_open:
                self._log.info("circuit_closed", relay=self._name, circuit=Scope.RELAY.value)
            self.relay.closed()
            if (circuit := self._of(sender)) is not None:
                circuit.closed()
        if self.relay.is_open != self._shown_open:
            self._shown_open = self.relay.is_open
            self._is_open.set(self._shown_open)
            self.tell(self.relay.reason)

    def _failed(self, sender: str, outcome: NotTried) -> None:
        metrics.NOT_TRIED.labels(self._name).inc()
        circuit = self.relay
        if outcome.scope is Scope.SENDER:
            self.relay.closed()
            circuit = self._senders.setdefault(address.domain(sender), Circuit(self._clock))
        # A circuit is shared: what it says is read by services whose mail the relay's words are not about.
        reason = redact(outcome.detail)
        if not circuit.is_open:
            self._log.warning("circuit_opened", relay=self._name, circuit=outcome.scope.value, reason=reason)
        circuit.opened(reason, needs_person=outcome.needs_person)
