"""What opens the circuit of a relay or a sender: faults that several mails report, and never one mail alone."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import structlog

from notifier.clock import Clock
from notifier.delivery.relay_circuits import MAX_REFUSED_SENDERS, REASON_TEXTS, RelayCircuits
from notifier.outcomes import (
    Accepted,
    CircuitReason,
    Deferred,
    NotPermitted,
    NotTried,
    OutageScope,
    Outcome,
    RefusalKind,
    Rejected,
    SmtpPhase,
    SmtpReply,
    Uncertain,
)
from notifier.throttle.circuit_breaker import (
    MAX_REPORT_AGE_SECONDS,
    MAX_REPORTS,
    MIN_CONFIRMING_MAILS,
    MIN_CONFIRMING_SENDER_MAILS,
    AttemptedMail,
    FaultReports,
)

SHOP, OTHER = uuid4(), uuid4()
ORDERS = "orders@shop.example"
FULL = SmtpReply(code=452, enhanced="4.3.1", text="no room, says <bob@customer.example>")
OK = Accepted(reply=SmtpReply(code=250))
BARRED = SmtpReply(code=554, enhanced="5.7.1", text=f"<{ORDERS}>: Sender address rejected")
CLAIMS = [reason for reason in CircuitReason if reason not in {CircuitReason.UNREACHABLE, CircuitReason.SENDER}]


class HandClock(Clock):
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class Installation:
    """Circuits, and mails that report outcomes to them."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.circuits = RelayCircuits("relay.example", self.clock)
        self.announced_reasons: list[str | None] = []
        self.circuits.listener = self.announced_reasons.append

    def hear(self, to: str, outcome: Outcome, *, service: UUID = SHOP, sender: str = ORDERS) -> Outcome:
        mail = AttemptedMail(service=service, sender=sender, recipient=to)
        return self.circuits.record_outcome(mail, outcome, 0.1)

    @property
    def is_open(self) -> bool:
        return self.circuits.relay.is_open


@pytest.fixture
def installation() -> Installation:
    return Installation()


def claim(reason: CircuitReason = CircuitReason.STORAGE) -> Deferred | NotTried:
    """Return the transport's outcome for a mail to which the relay reported this fault."""
    if reason is CircuitReason.CLOSED:
        return NotTried(detail="the relay closed the connection", reported_fault=reason)
    return Deferred(
        phase=SmtpPhase.RCPT, reply=BARRED if reason is CircuitReason.SENDER else FULL, reported_fault=reason
    )


@pytest.mark.parametrize("reason", CLAIMS)
def test_one_mail_stops_nothing_however_often_it_is_tried(installation: Installation, reason: CircuitReason) -> None:
    """One mail that reports a fault fifty times is deferred each time and opens no circuit."""
    for _ in range(50):
        assert isinstance(installation.hear("bob@a.example", claim(reason)), Deferred)
        assert not installation.is_open
        installation.clock.seconds += 1


@pytest.mark.parametrize("reason", CLAIMS)
def test_mails_to_several_recipients_stop_the_relay(installation: Installation, reason: CircuitReason) -> None:
    """The mails that open the circuit are deferred; later ones are not tried and use no attempt."""
    for number in range(MIN_CONFIRMING_MAILS):
        assert not installation.is_open
        assert isinstance(installation.hear(f"bob@{number}.example", claim(reason)), Deferred)
    assert installation.is_open
    late = installation.hear("late@z.example", claim(reason))
    assert isinstance(late, NotTried)
    assert (late.scope, REASON_TEXTS[reason] in str(installation.announced_reasons)) == (OutageScope.RELAY, True)


@pytest.mark.parametrize(
    "between",
    [
        [("eve@b.example", OK)],
        [("eve@b.example", OK), ("bob@a.example", claim())],
    ],
)
def test_a_mail_that_is_accepted_disproves_all_claims(
    installation: Installation, between: list[tuple[str, Outcome]]
) -> None:
    """An accepted mail resets the reports, because it shows that the relay works."""
    for number in range(MIN_CONFIRMING_MAILS - 1):
        installation.hear(f"bob@{number}.example", claim())
    for to, outcome in between:
        installation.hear(to, outcome)
    installation.hear("last@z.example", claim())
    assert not installation.is_open


def test_different_claims_do_not_confirm_each_other(installation: Installation) -> None:
    """Reports of storage, login and other faults are counted separately."""
    for number, reason in enumerate(CLAIMS):
        installation.hear(f"bob@{number}.example", claim(reason))
    assert not installation.is_open


def test_old_claims_do_not_count(installation: Installation) -> None:
    """Reports from long ago are not counted."""
    for number in range(3 * MIN_CONFIRMING_MAILS):
        installation.hear(f"bob@{number}.example", claim())
        assert not installation.is_open
        installation.clock.seconds += MAX_REPORT_AGE_SECONDS / (MIN_CONFIRMING_MAILS - 1) + 1


def test_one_domain_does_not_stop_mail_to_others(installation: Installation) -> None:
    """When several domains are mailed, recipients of one domain do not open the circuit."""
    installation.hear("eve@b.example", OK)
    for number in range(20):
        installation.hear(f"bob{number}@a.example", claim())
    assert not installation.is_open
    installation.hear("eve@b.example", claim())
    assert installation.is_open


def test_one_service_does_not_stop_the_others(installation: Installation) -> None:
    """When several services send, one service's mails do not open the circuit; a single service's do."""
    installation.hear("eve@b.example", OK, service=OTHER)
    for number in range(20):
        installation.hear(f"bob@{number}.example", claim())
    assert not installation.is_open
    installation.clock.seconds += MAX_REPORT_AGE_SECONDS + 1  # nobody else is active any more
    for number in range(MIN_CONFIRMING_MAILS):
        installation.hear(f"bob@{number}.example", claim())
    assert installation.is_open


def test_a_probe_that_hears_it_again_is_not_the_next_probe(installation: Installation) -> None:
    """A failed probe uses an attempt and prolongs the wait; the next accepted mail closes the circuit."""
    for number in range(MIN_CONFIRMING_MAILS):
        installation.hear(f"bob@{number}.example", claim())
    first = installation.circuits.relay.seconds_to_probe()
    installation.clock.seconds += first
    assert isinstance(installation.hear("bob@9.example", claim()), Deferred)
    assert installation.circuits.relay.seconds_to_probe() > first
    installation.clock.seconds += 60
    assert installation.hear("eve@z.example", OK) is OK
    assert (installation.is_open, installation.announced_reasons[-1]) == (False, None)


def test_a_probe_that_hears_something_new_ends_the_old_reason(installation: Installation) -> None:
    """A probe that reaches the relay and reports another fault closes the circuit."""
    installation.hear("bob@a.example", NotTried(detail="Connection refused"))
    assert installation.is_open
    installation.clock.seconds += 60
    assert isinstance(installation.hear("bob@a.example", claim()), Deferred)
    assert not installation.is_open


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (NotTried(detail="535 5.7.8 no", needs_person=True), "login"),
        (NotTried(detail="Connection refused"), "unreachable"),
        (NotTried(detail="554 5.3.2 closed for the night"), "unreachable"),
        (NotTried(detail="certificate has expired", needs_person=True), "unreachable"),
    ],
)
def test_what_is_not_about_a_mail_stops_at_once(installation: Installation, outcome: NotTried, reason: str) -> None:
    """A failed connection or login opens the circuit at once, because it is a fact about the relay."""
    with structlog.testing.capture_logs() as logged:
        assert installation.hear("bob@a.example", outcome) is outcome
    assert installation.is_open
    assert [line["reason"] for line in logged] == [reason]


@pytest.mark.parametrize(
    "outcome",
    [
        Rejected(phase=SmtpPhase.RCPT, refused=RefusalKind.MESSAGE, reply=SmtpReply(code=550)),
        Deferred(phase=SmtpPhase.RCPT, reply=SmtpReply(code=450)),
        Uncertain(detail="no reply to the final dot"),
        NotPermitted(detail="not permitted to begin"),
    ],
)
def test_a_refusal_of_a_mail_neither_confirms_nor_disproves(installation: Installation, outcome: Outcome) -> None:
    """A refused recipient does not reset the reports of a full disk."""
    for number in range(MIN_CONFIRMING_MAILS):
        installation.hear(f"bob@{number}.example", claim())
        assert installation.hear("eve@z.example", outcome) is outcome or number == MIN_CONFIRMING_MAILS - 1
    installation.hear("last@z.example", claim())
    assert installation.is_open


def test_a_sender_refused_at_rcpt_waits_once_another_recipient_confirms_it(installation: Installation) -> None:
    """Only that sender waits, and the relay's circuit stays closed."""
    outcome = claim(CircuitReason.SENDER)
    for _ in range(5):
        assert installation.hear("bob@a.example", outcome) is outcome
    assert installation.circuits.find_obstacle(ORDERS) is None
    assert installation.hear("eve@b.example", outcome) is outcome
    obstacle = installation.circuits.find_obstacle(ORDERS.upper())
    assert obstacle is not None
    assert (obstacle.scope, obstacle.detail) == (
        OutageScope.SENDER,
        f"{REASON_TEXTS[CircuitReason.SENDER]} (554 5.7.1)",
    )
    assert installation.circuits.find_obstacle("news@shop.example") is None
    late = installation.hear("late@c.example", outcome)
    assert isinstance(late, NotTried)
    assert late.scope is OutageScope.SENDER
    assert not installation.is_open


def test_a_sender_whose_mail_is_accepted_is_not_refused(installation: Installation) -> None:
    """An accepted mail of the sender shows that the sender is not refused in general."""
    for number in range(5):
        installation.hear(f"bob@{number}.example", claim(CircuitReason.SENDER))
        installation.hear("eve@z.example", OK)
    assert installation.circuits.find_obstacle(ORDERS) is None


def test_a_sender_refused_at_mail_waits_at_once_and_alone(installation: Installation) -> None:
    """Another address of the same domain is still sent."""
    refused = NotTried(detail=f"553 5.7.1 {ORDERS}: no", scope=OutageScope.SENDER, needs_person=True)
    installation.hear("bob@a.example", refused)
    obstacle = installation.circuits.find_obstacle(ORDERS)
    assert obstacle is not None
    assert "@" not in obstacle.detail
    assert installation.circuits.get_wait(ORDERS) > timedelta(0)
    assert installation.circuits.find_obstacle("news@shop.example") is None
    assert not installation.is_open


def test_what_everybody_is_told_holds_no_words_of_the_relay(installation: Installation) -> None:
    """Log line and reason use fixed texts and codes, and no text from the relay."""
    with structlog.testing.capture_logs() as logged:
        for number in range(MIN_CONFIRMING_MAILS):
            installation.hear(f"bob@{number}.example", claim())
    assert installation.announced_reasons == [f"{REASON_TEXTS[CircuitReason.STORAGE]} (452 4.3.1)"]
    (line,) = [line for line in logged if line["event"] == "circuit_opened"]
    assert (line["reason"], line["detail"]) == ("storage", "452 4.3.1")
    assert "@" not in str(logged)


def test_each_reason_has_its_words() -> None:
    """Each circuit reason has a text."""
    assert set(REASON_TEXTS) == set(CircuitReason)


def test_what_is_remembered_is_bounded(installation: Installation) -> None:
    """Refused senders and reports are limited in number."""
    for number in range(MAX_REFUSED_SENDERS + 50):
        installation.hear("bob@a.example", claim(CircuitReason.SENDER), sender=f"s{number}@shop.example")
    assert len(installation.circuits._senders) == MAX_REFUSED_SENDERS
    claims = FaultReports(MIN_CONFIRMING_SENDER_MAILS)
    for number in range(MAX_REPORTS + 50):
        claims.add("full", AttemptedMail(service=SHOP, sender=ORDERS, recipient=f"b{number}@a.example"), 1.0)
    assert len(claims._reports["full"]) == MAX_REPORTS
