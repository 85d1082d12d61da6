"""What a circuit says is read by services whose mail the relay's words are not about."""

import pytest

from notifier.clock import SystemClock
from notifier.notification.circuits import Circuits
from notifier.outcomes import NotTried, Scope
from notifier.throttle.confirmation import TriedMail


@pytest.mark.parametrize("scope", list(Scope))
def test_a_circuit_repeats_no_address(scope: Scope) -> None:
    """Neither to readiness and `explain` of others, nor to mails of the same sender that wait because of it."""
    circuits, told = Circuits("relay.example", SystemClock()), list[str | None]()
    circuits.tell = told.append
    words = '553 5.7.1 <bob@example.org>: not owned by "bob smith" (token abcdefghijklmnopqrst0123)'
    sender = "orders@shop.example"
    mail = TriedMail(service=None, sender=sender, recipient="ada@example.com")
    for _ in range(3):
        circuits.learn(mail, NotTried(detail=words, scope=scope, needs_person=True), 0.0)
    obstacle = circuits.obstacle(sender)
    shown = [circuits.relay.reason, *told, obstacle.detail if obstacle else None]
    seen = [text for text in shown if text is not None]
    assert seen
    for text in seen:
        assert "553 5.7.1" in text
        assert not any(word in text for word in ("bob", "example.org", "abcdefghijklmnopqrst0123"))
