"""TLS and login: what a relay must prove before it gets a password or an address."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from support.body_permit import grant_permit
from support.certificate_authority import CertificateAuthority
from support.scripted_relay import ScriptedRelay

from notifier.outcomes import Accepted, NotTried, Outcome
from notifier.smtp.mail_transaction import OutgoingMail
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSecurity, SmtpSettings

MAIL = OutgoingMail(sender="shop@shop.example", recipient="ada@example.com", data=b"Subject: Hi\r\n\r\nHello\r\n")
PASSWORD = "correct horse battery"


def settings(relay: ScriptedRelay, ca_file: Path, security: SmtpSecurity) -> SmtpSettings:
    """Build settings with a login."""
    return SmtpSettings(
        port=relay.port, security=security, ca_file=ca_file, username="shop", password=SecretStr(PASSWORD)
    )


async def deliver(settings: SmtpSettings, mails: int = 1) -> list[Outcome]:
    """Send this many mails one after the other, and return the outcomes."""
    transport = SmtpTransport(settings)
    try:
        return [await transport.send(MAIL, seconds=60, before_body=grant_permit) for _ in range(mails)]
    finally:
        await transport.close()


@pytest.fixture
async def tls_relay(authority: CertificateAuthority, relay: ScriptedRelay) -> ScriptedRelay:
    """A relay with implicit TLS, a valid certificate and one user."""
    await relay.stop()
    relay.tls = authority.issue_server_context()
    relay.users = {"shop": PASSWORD}
    return await relay.start()


@pytest.fixture
def starttls_relay(authority: CertificateAuthority, relay: ScriptedRelay) -> ScriptedRelay:
    """A relay with STARTTLS, a valid certificate and one user."""
    relay.starttls = authority.issue_server_context()
    relay.users = {"shop": PASSWORD}
    return relay


@pytest.mark.parametrize("mechanisms", [("PLAIN", "LOGIN"), ("PLAIN",), ("LOGIN",), ("X-NEW", "LOGIN")])
async def test_login_over_tls(
    tls_relay: ScriptedRelay, authority: CertificateAuthority, mechanisms: tuple[str, ...]
) -> None:
    """With a valid certificate the mail is sent after one login with a mechanism that the relay offers."""
    tls_relay.mechanisms = mechanisms
    outcomes = await deliver(settings(tls_relay, authority.ca_file, SmtpSecurity.TLS), mails=2)
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]
    assert tls_relay.commands[:2] == ["EHLO notifier.localdomain", "AUTH"]
    assert tls_relay.commands.count("AUTH") == 1


async def test_login_over_starttls(starttls_relay: ScriptedRelay, authority: CertificateAuthority) -> None:
    """The login is made only after STARTTLS and a second EHLO."""
    (outcome,) = await deliver(settings(starttls_relay, authority.ca_file, SmtpSecurity.STARTTLS))
    assert isinstance(outcome, Accepted)
    ehlo = "EHLO notifier.localdomain"
    assert starttls_relay.commands[:4] == [ehlo, "STARTTLS", ehlo, "AUTH"]


async def test_tls_without_a_login(tls_relay: ScriptedRelay, authority: CertificateAuthority) -> None:
    """Without a user name there is no AUTH."""
    plain = SmtpSettings(port=tls_relay.port, security=SmtpSecurity.TLS, ca_file=authority.ca_file)
    (outcome,) = await deliver(plain)
    assert isinstance(outcome, Accepted)
    assert "AUTH" not in tls_relay.commands


@pytest.mark.parametrize("fault", ["expired", "wrong host", "stranger"])
@pytest.mark.parametrize("security", [SmtpSecurity.TLS, SmtpSecurity.STARTTLS])
async def test_a_bad_certificate_gets_no_login_and_no_mail(
    relay: ScriptedRelay,
    authority: CertificateAuthority,
    stranger: CertificateAuthority,
    fault: str,
    security: SmtpSecurity,
) -> None:
    """B2: an expired, foreign or untrusted certificate gets one try and no login."""
    bad = {
        "expired": authority.issue_server_context(expired=True),
        "wrong host": authority.issue_server_context("relay.example"),
        "stranger": stranger.issue_server_context(),
    }[fault]
    await relay.stop()
    relay.users = {"shop": PASSWORD}
    relay.tls, relay.starttls = (bad, None) if security is SmtpSecurity.TLS else (None, bad)
    await relay.start()
    (outcome,) = await deliver(settings(relay, authority.ca_file, security))
    assert isinstance(outcome, NotTried)
    assert outcome.needs_person
    assert "certificate" in outcome.detail.lower()
    heard = ["EHLO notifier.localdomain", "STARTTLS"] if security is SmtpSecurity.STARTTLS else []
    assert relay.commands == heard
    assert relay.connections == len(heard) // 2


async def test_a_missing_starttls_gets_no_login_and_no_mail(
    relay: ScriptedRelay, authority: CertificateAuthority
) -> None:
    """B2: a relay without STARTTLS gets no login, because someone may have removed the offer."""
    relay.users = {"shop": PASSWORD}
    (outcome,) = await deliver(settings(relay, authority.ca_file, SmtpSecurity.STARTTLS))
    assert isinstance(outcome, NotTried)
    assert outcome.needs_person
    assert "STARTTLS" in outcome.detail
    assert relay.commands == ["EHLO notifier.localdomain"]


async def test_starttls_is_the_default_away_from_loopback(relay: ScriptedRelay) -> None:
    """B2: by default only a relay on this machine may be used without TLS."""
    relay.host = "127.0.0.2"
    await relay.stop()
    await relay.start()
    (outcome,) = await deliver(SmtpSettings(host="127.0.0.2", port=relay.port))
    assert isinstance(outcome, NotTried)
    assert outcome.needs_person
    assert not any(command.startswith("MAIL") for command in relay.commands)


async def test_a_wrong_password_is_tried_once(tls_relay: ScriptedRelay, authority: CertificateAuthority) -> None:
    """B3: there is one AUTH, a person is needed, and the detail has the relay's text without the password."""
    tls_relay.users = {"shop": "another"}
    (outcome,) = await deliver(settings(tls_relay, authority.ca_file, SmtpSecurity.TLS))
    assert outcome == NotTried(detail="535 5.7.8 wrong user name or password", needs_person=True)
    assert tls_relay.connections == 1
    assert tls_relay.commands.count("AUTH") == 1


async def test_each_connection_tries_the_password_once(
    tls_relay: ScriptedRelay, authority: CertificateAuthority
) -> None:
    """B3: three mails make three logins; the circuit decides how often to connect."""
    tls_relay.users = {"shop": "another"}
    outcomes = await deliver(settings(tls_relay, authority.ca_file, SmtpSecurity.TLS), mails=3)
    assert [type(outcome) for outcome in outcomes] == [NotTried] * 3
    assert tls_relay.connections == 3
    assert tls_relay.commands.count("AUTH") == 3


@pytest.mark.parametrize("mechanisms", [("XOAUTH2",), ()])
async def test_a_relay_without_a_known_mechanism(
    tls_relay: ScriptedRelay, authority: CertificateAuthority, mechanisms: tuple[str, ...]
) -> None:
    """A login without a known mechanism needs a person, and no mail is sent."""
    tls_relay.mechanisms = mechanisms
    (outcome,) = await deliver(settings(tls_relay, authority.ca_file, SmtpSecurity.TLS))
    assert outcome == NotTried(detail="the relay offers no AUTH mechanism that we know", needs_person=True)
    assert tls_relay.commands == ["EHLO notifier.localdomain"]


@pytest.mark.parametrize("reply", ["454 4.7.0 temporary authentication failure", "421 4.3.2 shutting down"])
async def test_a_login_that_fails_for_now_needs_no_person(
    tls_relay: ScriptedRelay, authority: CertificateAuthority, reply: str
) -> None:
    """RFC 4954 §6: 4yz to AUTH is temporary and is tried again like any connection."""
    tls_relay.say("*", "AUTH", reply)
    (outcome,) = await deliver(settings(tls_relay, authority.ca_file, SmtpSecurity.TLS))
    assert isinstance(outcome, Accepted)
