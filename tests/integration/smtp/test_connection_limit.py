"""A relay that takes fewer connections than the setting allows: its number is found, and no mail is worse for it."""

import asyncio

import pytest
from parts.pair import mail_to
from parts.permit import at_once
from parts.relay import DROP, RESET, Relay
from structlog.testing import capture_logs

from notifier.outcomes import Accepted, Outcome
from notifier.settings import SmtpSettings
from notifier.smtp.connection_limit import MAX_OPENING
from notifier.smtp.transport import Transport
from notifier.telemetry import metrics

pytestmark = pytest.mark.parametrize("relay", [True], ids=["pipelined"], indirect=True)
TAKEN = 5  # connections that the relay takes
CLOSING = "421 4.7.0 too many messages on this connection"


@pytest.fixture
def transport(relay: Relay) -> Transport:
    """With the default of twenty connections."""
    return Transport(SmtpSettings(port=relay.port))


async def send(transport: Transport, mails: int, name: str = "n") -> list[Outcome]:
    """So many mails that are due at the same time."""
    sendings = (transport.send(mail_to(f"{name}{n}"), seconds=60, before_body=at_once) for n in range(mails))
    return await asyncio.gather(*sendings)


def all_accepted(outcomes: list[Outcome]) -> bool:
    return all(isinstance(outcome, Accepted) for outcome in outcomes)


@pytest.mark.parametrize(
    "refusal",
    [
        "421 4.7.0 relay.example Error: too many connections from 127.0.0.1",
        "421 4.3.2 The maximum number of concurrent server connections has exceeded a limit",
        "421 relay.example busy",
        "554 5.7.0 no more",
        DROP,
        RESET,
        "EHLO 450 4.7.0 too many connections",
        "EHLO 451 4.3.2 try later",
        "EHLO 421 4.3.2 too many sessions",
        "EHLO 454 4.7.0 not now",
    ],
)
async def test_the_relays_number_is_found(relay: Relay, transport: Transport, refusal: str) -> None:
    """However one more is refused: all mails are sent, few connections are refused, and the number is in force."""
    relay.limit, relay.refusal = TAKEN, refusal
    relay.say("*", "DOT", "250 2.0.0 queued", times=1)
    with capture_logs() as logs:
        assert all_accepted(await send(transport, 300))
    assert (transport.limit.in_force, relay.most) == (TAKEN, TAKEN)
    assert relay.refused <= MAX_OPENING
    assert [line["event"] for line in logs] == ["connections_changed"] * len(logs)
    assert 1 <= len(logs) <= 2
    assert logs[-1]["detail"] == "5 of 20 connections are in force"
    gauge = metrics.SMTP_CONNECTIONS
    assert [gauge.labels(transport.relay, which)._value.get() for which in ("in_force", "maximum")] == [TAKEN, 20]
    await transport.close()
