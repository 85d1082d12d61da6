"""The text of a circuit contains nothing about other services' mail."""

import pytest

from notifier.clock import SystemClock
from notifier.delivery.relay_circuits import RelayCircuits
from notifier.outcomes import NotTried, OutageScope
from notifier.throttle.circuit_breaker import AttemptedMail


@pytest.mark.parametrize("scope", list(OutageScope))
def test_a_circuit_repeats_no_address(scope: OutageScope) -> None:
    """Readiness, `explain` and waiting mails of the same sender show no address from the relay's reply."""
    circuits, reasons = RelayCircuits("relay.example", SystemClock()), list[str | None]()
    circuits.listener = reasons.append
    words = '553 5.7.1 <bob@example.org>: not owned by "bob smith" (token abcdefghijklmnopqrst0123)'
    sender = "orders@shop.example"
    mail = AttemptedMail(service=None, sender=sender, recipient="ada@example.com")
    for _ in range(3):
        circuits.record_outcome(mail, NotTried(detail=words, scope=scope, needs_person=True), 0.0)
    obstacle = circuits.find_obstacle(sender)
    texts = [circuits.relay.reason, *reasons, obstacle.detail if obstacle else None]
    seen = [text for text in texts if text is not None]
    assert seen
    for text in seen:
        assert "553 5.7.1" in text
        assert not any(word in text for word in ("bob", "example.org", "abcdefghijklmnopqrst0123"))
