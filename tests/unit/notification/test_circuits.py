"""What stops a relay or a sender: claims that other mails confirm, and nothing that one mail was told."""

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
from notifier.throttle.fault_confirmation import (
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
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class Installation:
    """Circuits, and mails that hear something."""

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
    """What the transport brings back when a mail heard it."""
    if reason is CircuitReason.CLOSED:
        return NotTried(detail="the relay closed the connection", reported_fault=reason)
    return Deferred(
        phase=SmtpPhase.RCPT, reply=BARRED if reason is CircuitReason.SENDER else FULL, reported_fault=reason
    )


@pytest.mark.parametrize("reason", CLAIMS)
def test_one_mail_stops_nothing_however_often_it_is_tried(installation: Installation, reason: CircuitReason) -> None:
    """It waits by its own schedule each time, also where nothing was answered."""
    for _ in range(50):
        assert isinstance(installation.hear("bob@a.example", claim(reason)), Deferred)
        assert not installation.is_open
        installation.clock.seconds += 1


@pytest.mark.parametrize("reason", CLAIMS)
def test_mails_to_several_recipients_stop_the_relay(installation: Installation, reason: CircuitReason) -> None:
    """Whoever opens it waits by its own schedule; whoever hears it afterwards burns nothing."""
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
    """What is shared works."""
    for number in range(MIN_CONFIRMING_MAILS - 1):
        installation.hear(f"bob@{number}.example", claim())
    for to, outcome in between:
        installation.hear(to, outcome)
    installation.hear("last@z.example", claim())
    assert not installation.is_open


def test_different_claims_do_not_confirm_each_other(installation: Installation) -> None:
    """Storage, a login and a fault are three things."""
    for number, reason in enumerate(CLAIMS):
        installation.hear(f"bob@{number}.example", claim(reason))
    assert not installation.is_open


def test_old_claims_do_not_count(installation: Installation) -> None:
    """Mails that heard it long ago say nothing about now."""
    for number in range(3 * MIN_CONFIRMING_MAILS):
        installation.hear(f"bob@{number}.example", claim())
        assert not installation.is_open
        installation.clock.seconds += MAX_REPORT_AGE_SECONDS / (MIN_CONFIRMING_MAILS - 1) + 1


def test_one_domain_does_not_stop_mail_to_others(installation: Installation) -> None:
    """Where several domains are mailed, the recipients of one of them are not enough."""
    installation.hear("eve@b.example", OK)
    for number in range(20):
        installation.hear(f"bob{number}@a.example", claim())
    assert not installation.is_open
    installation.hear("eve@b.example", claim())
    assert installation.is_open


def test_one_service_does_not_stop_the_others(installation: Installation) -> None:
    """Where several services send, the mails of one of them are not enough; alone it is."""
    installation.hear("eve@b.example", OK, service=OTHER)
    for number in range(20):
        installation.hear(f"bob@{number}.example", claim())
    assert not installation.is_open
    installation.clock.seconds += MAX_REPORT_AGE_SECONDS + 1  # nobody else is active any more
    for number in range(MIN_CONFIRMING_MAILS):
        installation.hear(f"bob@{number}.example", claim())
    assert installation.is_open


def test_a_probe_that_hears_it_again_is_not_the_next_probe(installation: Installation) -> None:
    """It burns its attempt, the circuit waits longer, and the next mail that is accepted closes it at once."""
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
    """The relay can be reached again: what one mail then hears of it stops nobody."""
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
    """No connection, no login: a fact about the relay, heard before any mail was named."""
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
    """A full disk is not disproved by a recipient that is refused before it matters."""
    for number in range(MIN_CONFIRMING_MAILS):
        installation.hear(f"bob@{number}.example", claim())
        assert installation.hear("eve@z.example", outcome) is outcome or number == MIN_CONFIRMING_MAILS - 1
    installation.hear("last@z.example", claim())
    assert installation.is_open


def test_a_sender_refused_at_rcpt_waits_once_another_recipient_confirms_it(installation: Installation) -> None:
    """Nobody else waits, and the relay's circuit stays closed."""
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
    """What one recipient's server refuses another one's takes."""
    for number in range(5):
        installation.hear(f"bob@{number}.example", claim(CircuitReason.SENDER))
        installation.hear("eve@z.example", OK)
    assert installation.circuits.find_obstacle(ORDERS) is None


def test_a_sender_refused_at_mail_waits_at_once_and_alone(installation: Installation) -> None:
    """An address of the same domain goes on."""
    refused = NotTried(detail=f"553 5.7.1 {ORDERS}: no", scope=OutageScope.SENDER, needs_person=True)
    installation.hear("bob@a.example", refused)
    obstacle = installation.circuits.find_obstacle(ORDERS)
    assert obstacle is not None
    assert "@" not in obstacle.detail
    assert installation.circuits.get_wait(ORDERS) > timedelta(0)
    assert installation.circuits.find_obstacle("news@shop.example") is None
    assert not installation.is_open


def test_what_everybody_is_told_holds_no_words_of_the_relay(installation: Installation) -> None:
    """Log line and reason: from a closed set, with the codes."""
    with structlog.testing.capture_logs() as logged:
        for number in range(MIN_CONFIRMING_MAILS):
            installation.hear(f"bob@{number}.example", claim())
    assert installation.announced_reasons == [f"{REASON_TEXTS[CircuitReason.STORAGE]} (452 4.3.1)"]
    (line,) = [line for line in logged if line["event"] == "circuit_opened"]
    assert (line["reason"], line["detail"]) == ("storage", "452 4.3.1")
    assert "@" not in str(logged)


def test_each_reason_has_its_words() -> None:
    """A new reason is not forgotten."""
    assert set(REASON_TEXTS) == set(CircuitReason)


def test_what_is_remembered_is_bounded(installation: Installation) -> None:
    """Neither many refused senders nor many claims fill the memory."""
    for number in range(MAX_REFUSED_SENDERS + 50):
        installation.hear("bob@a.example", claim(CircuitReason.SENDER), sender=f"s{number}@shop.example")
    assert len(installation.circuits._senders) == MAX_REFUSED_SENDERS
    claims = FaultReports(MIN_CONFIRMING_SENDER_MAILS)
    for number in range(MAX_REPORTS + 50):
        claims.add("full", AttemptedMail(service=SHOP, sender=ORDERS, recipient=f"b{number}@a.example"), 1.0)
    assert len(claims._reports["full"]) == MAX_REPORTS
