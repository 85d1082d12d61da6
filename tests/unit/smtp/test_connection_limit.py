"""The connection limit, with a clock that the test moves, and replies about connections."""

from dataclasses import dataclass

import pytest

from notifier.outcomes import NotTried
from notifier.smtp.connection_limit import (
    MAX_WAIT,
    PERSON_WAIT,
    ConnectionLimit,
    ConnectionLimitState,
    is_about_connections,
)

BUSY = NotTried(detail="421 too many connections")
WRONG_PASSWORD = NotTried(detail="535 wrong password", needs_person=True)


@dataclass
class Clock:
    """Seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> ConnectionLimit:
    return ConnectionLimit("relay.example", 20, clock)


def run(limit: ConnectionLimit, clock: Clock, taken: int, seconds: float) -> int:
    """So long with more mails than connections, at a relay that takes so many; how many were refused."""
    standing, refused, end = 0, 0, clock.now + seconds
    while clock.now < end:
        opening = limit.get_max_users(standing) - standing
        was_standing = standing
        for _ in range(opening):
            if standing < taken:
                standing += 1
                limit.record_opened(standing)
            else:
                refused += 1
                limit.record_refused(standing, BUSY)
        if standing == was_standing:
            clock.now += 1.0
    assert limit.in_force == min(taken, limit.maximum)
    return refused


@pytest.mark.parametrize("taken", range(1, 25))
def test_at_most_twenty_refusals_in_an_hour(limit: ConnectionLimit, clock: Clock, taken: int) -> None:
    """The first hour costs a few to learn the limit, each later one six; the log has a line or two."""
    numbers: list[ConnectionLimitState] = []
    limit.on_change = numbers.append
    assert run(limit, clock, taken, 3600) <= 20
    assert run(limit, clock, taken, 3600) <= 3600 / MAX_WAIT + 1
    assert len(numbers) <= 2
    if taken < 20:
        assert numbers[-1] == ConnectionLimitState(in_force=taken, maximum=20, reason=BUSY.detail)


@pytest.mark.parametrize("maximum", [1, 2, 20, 500])
def test_the_first_connection_is_opened_alone(clock: Clock, maximum: int) -> None:
    """Then five are opened at a time, never more than the setting allows."""
    limit = ConnectionLimit("relay.example", maximum, clock)
    assert [limit.get_max_users(standing) for standing in (0, 1, 2, 4, 8)] == [
        min(places, maximum) for places in (1, 6, 7, 9, 13)
    ]
    assert limit.get_max_users(maximum) == maximum


def test_one_refusal_by_chance_is_forgotten_soon(limit: ConnectionLimit, clock: Clock) -> None:
    """Of eight connections one was refused: a few seconds later as many are in force as before, and soon all."""
    for standing in range(1, 9):
        limit.record_opened(standing)
    limit.record_refused(7, BUSY)
    assert (limit.in_force, limit.get_max_users(7)) == (7, 7)
    run(limit, clock, 20, 10)
    assert limit.in_force == 20


def test_a_relay_that_takes_fewer_than_before(limit: ConnectionLimit, clock: Clock) -> None:
    """The number falls to what stands, and to one at the least."""
    run(limit, clock, 20, 10)
    for standing in (9, 4, 1, 0):
        limit.record_refused(standing, BUSY)
    assert limit.in_force == 1


def test_no_login_beside_a_wrong_password(limit: ConnectionLimit, clock: Clock) -> None:
    """While connections stand no other is opened for a minute, not even in the place of one that ends."""
    for standing in range(1, 6):
        limit.record_opened(standing)
    limit.record_refused(5, WRONG_PASSWORD)
    assert [limit.get_max_users(standing) for standing in (5, 4, 1, 0)] == [5, 4, 1, 1]
    clock.now += PERSON_WAIT
    assert limit.get_max_users(4) == 5


@pytest.mark.parametrize(
    "words",
    [
        "421 4.7.0 mx.example Error: too many connections from 192.0.2.1",
        "421 Too many concurrent SMTP connections; please try again later.",
        "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit, closing channel",
        "421 4.3.2 The maximum number of concurrent connections has exceeded a limit",
        "452 4.3.2 Too many open connections.",
        "421 too many sessions open for this user",
        "454 4.7.0 Too many simultaneous connections",
        "450 4.7.1 concurrent connection limit reached",
        "421 Session limit exceeded",
    ],
)
def test_words_about_the_number_of_connections(words: str) -> None:
    """Postfix, Exim, Exchange, Sendmail and others."""
    assert is_about_connections(words)


@pytest.mark.parametrize(
    "words",
    [
        "421 4.7.0 too many messages on this connection",
        "421 4.7.0 Too many messages in this session, please reconnect",
        "421 4.7.0 Too many errors on this connection",
        "452 4.5.3 Too many recipients",
        "421 4.3.2 Connection rate limit exceeded.",
        "454 Throttling failure: Maximum sending rate exceeded.",
        "450 4.7.1 rate limit exceeded, try later",
        "421 4.4.2 connection timed out",
        "421 4.7.0 Try again later, closing connection.",
        "",
    ],
)
def test_words_about_something_else(words: str) -> None:
    """Mails on one connection, and mails in a time."""
    assert not is_about_connections(words)
