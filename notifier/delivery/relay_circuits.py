"""One circuit breaker for the relay, and one for each sender address that it refuses.

A failed connection opens the relay's circuit at once. A fault that the relay reports in the reply to one mail must be
confirmed by other mails first.
"""

import re
from collections.abc import Callable
from datetime import timedelta

from notifier import email_address
from notifier.clock import Clock
from notifier.outcomes import (
    Accepted,
    CircuitReason,
    Deferred,
    NotPermitted,
    NotTried,
    OutageScope,
    Outcome,
    Rejected,
    SmtpPhase,
    Uncertain,
)
from notifier.telemetry import metrics
from notifier.telemetry.logging import get_logger
from notifier.telemetry.redaction import redact_text
from notifier.throttle.circuit_breaker import (
    MAX_REPORTED_WAIT_SECONDS,
    MAX_WAIT_SECONDS,
    MIN_CONFIRMING_MAILS,
    MIN_CONFIRMING_SENDER_MAILS,
    AttemptedMail,
    Circuit,
    FaultReports,
    RecentTraffic,
)

MAX_REFUSED_SENDERS = 1000
"""Sender addresses with a circuit of their own; the oldest beyond that are forgotten."""
REASON_TEXTS = {
    CircuitReason.UNREACHABLE: "no connection to it can carry mail",
    CircuitReason.CLOSED: "it closes connections instead of taking a mail",
    CircuitReason.LOGIN: "it demands a login, or refuses ours: check NOTIFIER_SMTP__USERNAME and its password",
    CircuitReason.RELAYING: "it does not take mail from this server: its operator must permit it",
    CircuitReason.STORAGE: "it is short of storage",
    CircuitReason.SYSTEM: "it has a fault of its own",
    CircuitReason.RATE: "it takes no more mail from us for now",
    CircuitReason.SENDER: "the relay does not send for this sender's address",
}
"""Explanations that every service may read: they contain nothing that the relay said about a mail."""
_CODES = re.compile(r"[45]\d\d(?: [245]\.\d{1,3}\.\d{1,3})?(?![\w.])")
_LOGIN_CODES = frozenset({"530", "534", "535", "538"})  # RFC 4954 §6
_COUNTED = (Accepted, Deferred, Rejected, Uncertain)


RelayListener = Callable[[str | None], None]
"""Called with the reason when the relay is out of reach, and with None when it accepts mail again."""


def _explain_reason(reason: CircuitReason, words: str) -> str:
    """Explain the reason, with the codes at the beginning of the relay's reply."""
    codes = _CODES.match(words)
    return f"{REASON_TEXTS[reason]} ({codes[0]})" if codes else REASON_TEXTS[reason]


class _SenderCircuit:
    """A sender address that the relay has refused, or may refuse."""

    def __init__(self, clock: Clock) -> None:
        self.circuit = Circuit(clock)
        self.reports = FaultReports(MIN_CONFIRMING_SENDER_MAILS)


class RelayCircuits:
    """The circuits of one relay."""

    def __init__(self, relay_name: str, clock: Clock) -> None:
        self.relay = Circuit(clock)
        self.public_reason = ""  # why the relay's circuit was opened last, for every service to read
        self._name = relay_name
        self.listener: RelayListener = lambda _: None
        self._clock = clock
        self._traffic = RecentTraffic()
        self._reports = FaultReports(MIN_CONFIRMING_MAILS, self._traffic)
        self._senders: dict[str, _SenderCircuit] = {}
        self._log = get_logger()
        self._seconds = metrics.SMTP_SECONDS.labels(relay_name)
        self._is_open = metrics.CIRCUIT_OPEN.labels(relay_name)
        self._published_reason: str | None = None  # the reason that the listener got last
        self._attempts = {
            kind.__name__: metrics.ATTEMPTS.labels(relay_name, kind.__name__.lower()) for kind in _COUNTED
        }

    def find_obstacle(self, sender: str) -> NotTried | None:
        """Return why mail from this address must not be tried now; None if it may be."""
        circuit = self._find_circuit(sender)
        if circuit is None or not circuit.is_open or circuit.probe_is_due:
            return None
        return NotTried(detail=circuit.reason or "", scope=OutageScope.SENDER)

    def get_wait(self, sender: str) -> timedelta:
        """Return the time until the next probe for this address."""
        circuit = self._find_circuit(sender)
        return timedelta(seconds=circuit.seconds_to_probe() if circuit else 0.0)

    def record_outcome(self, mail: AttemptedMail, outcome: Outcome, seconds: float) -> Outcome:
        """Open or close circuits, and count; return what the try counts as, in view of other mails' replies."""
        if isinstance(outcome, NotPermitted):
            return outcome  # says nothing about the relay
        self._traffic.add(mail, self._clock.monotonic())
        if isinstance(outcome, (Deferred, NotTried)) and outcome.reported_fault is not None:
            outcome = self._record_fault(mail, outcome, outcome.reported_fault)
        elif isinstance(outcome, NotTried):
            self._record_failure(mail, outcome)
        else:
            self._record_reply()
            self._record_taken(mail, is_accepted=isinstance(outcome, Accepted))
        if isinstance(outcome, NotTried):
            metrics.NOT_TRIED.labels(self._name).inc()
        else:
            self._attempts[type(outcome).__name__].inc()
            self._seconds.observe(seconds)
        self._publish_state()
        return outcome

    # -- what an outcome means for the circuits ---------------------------------------------------

    def _record_reply(self) -> None:
        """Close the relay's circuit: a reply about a mail shows that the relay is within reach."""
        if self.relay.is_open:
            self._log.info("circuit_closed", relay=self._name, circuit=OutageScope.RELAY.value)
            self.relay.close()

    def _record_taken(self, mail: AttemptedMail, *, is_accepted: bool) -> None:
        """Close the sender's circuit: it was not refused. Only an accepted mail clears the reported faults."""
        if self._senders and (sender := self._senders.get(email_address.get_address_key(mail.sender))) is not None:
            sender.circuit.close()
            if is_accepted:
                del self._senders[email_address.get_address_key(mail.sender)]
        if is_accepted:
            self._reports.clear()

    def _record_failure(self, mail: AttemptedMail, outcome: NotTried) -> None:
        """Open a circuit: no connection could be used, or the sender was refused at MAIL."""
        if outcome.scope is OutageScope.SENDER:
            self._record_reply()
            circuit, reason = self._get_or_add_sender(mail.sender).circuit, CircuitReason.SENDER
            self._open(circuit, reason, outcome.detail, longest=MAX_WAIT_SECONDS, needs_person=outcome.needs_person)
            return
        words = redact_text(outcome.detail)  # other services read it
        reason = CircuitReason.LOGIN if words[:3] in _LOGIN_CODES else CircuitReason.UNREACHABLE
        if not self.relay.is_open:
            self._log_opened(OutageScope.RELAY, reason, words)
        self.public_reason = _explain_reason(reason, words)
        self.relay.open(words, needs_person=outcome.needs_person)

    def _record_fault(self, mail: AttemptedMail, outcome: Deferred | NotTried, fault: CircuitReason) -> Outcome:
        """Count a reported fault; the mail waits by its own back-off, unless other mails had confirmed it before.

        So a mail that opens a circuit is not the next one to probe it.
        """
        is_senders = fault is CircuitReason.SENDER
        sender = self._get_or_add_sender(mail.sender) if is_senders else None
        circuit, reports = (sender.circuit, sender.reports) if sender else (self.relay, self._reports)
        words = str(outcome.reply) if isinstance(outcome, Deferred) and outcome.reply else outcome.detail
        is_confirmed = reports.add(fault, mail, self._clock.monotonic())
        if is_senders or not is_confirmed:
            self._record_reply()
        if is_confirmed:
            is_late = circuit.is_open and not circuit.probe_is_due  # the attempt began before the circuit opened
            self._open(circuit, fault, words, longest=MAX_REPORTED_WAIT_SECONDS)
            if is_late:
                return NotTried(
                    detail=words, scope=OutageScope.SENDER if is_senders else OutageScope.RELAY, reported_fault=fault
                )
        return (
            outcome
            if isinstance(outcome, Deferred)
            else Deferred(phase=SmtpPhase.MAIL, detail=words, reported_fault=fault)
        )

    # -- circuits ---------------------------------------------------------------------------------

    def _open(
        self, circuit: Circuit, reason: CircuitReason, words: str, *, longest: float, needs_person: bool = False
    ) -> None:
        """Open a circuit. Every service may read its reason: it has the reply's codes and none of its text."""
        if not circuit.is_open:
            codes = _CODES.match(words)
            self._log_opened(
                OutageScope.RELAY if circuit is self.relay else OutageScope.SENDER, reason, codes[0] if codes else ""
            )
        explanation = _explain_reason(reason, words)
        if circuit is self.relay:
            self.public_reason = explanation
        circuit.open(explanation, needs_person=needs_person, max_wait=longest)

    def _log_opened(self, scope: OutageScope, reason: CircuitReason, detail: str) -> None:
        self._log.warning("circuit_opened", relay=self._name, circuit=scope.value, reason=reason.value, detail=detail)

    def _get_or_add_sender(self, sender: str) -> _SenderCircuit:
        key = email_address.get_address_key(sender)
        if key not in self._senders:
            if len(self._senders) >= MAX_REFUSED_SENDERS:
                del self._senders[next(iter(self._senders))]
            self._senders[key] = _SenderCircuit(self._clock)
        return self._senders[key]

    def _find_circuit(self, sender: str) -> Circuit | None:
        known = self._senders.get(email_address.get_address_key(sender)) if self._senders else None
        return known.circuit if known else None

    def _publish_state(self) -> None:
        if self.relay.reason != self._published_reason:
            self._published_reason = self.relay.reason
            self._is_open.set(self.relay.is_open)
            self.listener(self._published_reason)
