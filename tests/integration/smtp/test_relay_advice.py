"""The advice about a relay that cannot be used, for each kind of fault."""

import ssl
from pathlib import Path

import aiosmtplib
import pytest
from pydantic import SecretStr
from support.certificate_authority import CertificateAuthority
from support.scripted_relay import DROP, ScriptedRelay

from notifier.smtp.relay_advice import find_advice
from notifier.smtp.transport import RelayFault, SmtpTransport
from notifier.smtp_settings import SmtpSecurity, SmtpSettings


async def _probe(relay: ScriptedRelay, security: SmtpSecurity, ca_file: Path | None, host: str) -> RelayFault | None:
    """Try to log in to the relay."""
    login = {} if security is SmtpSecurity.NONE else {"username": "shop", "password": SecretStr("wrong")}
    settings = SmtpSettings(host=host, port=relay.port, security=security, ca_file=ca_file, **login)
    transport = SmtpTransport(settings)
    try:
        return await transport.probe()
    finally:
        await transport.close()


def _set_up(relay: ScriptedRelay, fault: str, authority: CertificateAuthority) -> None:
    """Give the relay STARTTLS and a login, and the fault."""
    if fault != "no STARTTLS":
        name = "relay.example" if fault == "other host" else "127.0.0.1"
        relay.starttls = authority.issue_server_context(name, expired=fault == "expired")
    if fault != "no login":
        relay.users = {"shop": "correct horse"}
    if fault == "login later":
        relay.say("*", "AUTH", "454 4.7.0 later", times=9)
    if fault == "refused machine":
        relay.greeting = "554 5.7.1 your address is not welcome"
    if fault == "busy":
        relay.greeting = "421 4.3.2 too busy"
    if fault == "closed":
        relay.say("*", "EHLO", DROP, times=9)


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ("nobody listens", "NOTIFIER_SMTP__PORT"),
        ("unknown host", "correct NOTIFIER_SMTP__HOST"),
        ("no STARTTLS", "if it is 465, set NOTIFIER_SMTP__SECURITY=tls"),
        ("expired", "check the clock"),
        ("other host", "a name in its certificate"),
        ("unknown authority", "NOTIFIER_SMTP__CA_FILE"),
        ("wrong password", "NOTIFIER_SMTP__USERNAME and NOTIFIER_SMTP__PASSWORD"),
        ("login later", "try again later"),
        ("no login", "remove NOTIFIER_SMTP__USERNAME"),
        ("TLS to a plain port", "set NOTIFIER_SMTP__SECURITY=starttls"),
        ("refused machine", "ask its operator"),
        ("busy", "try again later"),
        ("closed", "ask its operator"),
    ],
)
async def test_what_to_do(
    relay: ScriptedRelay, authority: CertificateAuthority, stranger: CertificateAuthority, fault: str, advice: str
) -> None:
    """A real relay with this fault: the advice names the variable to change, or whom to ask."""
    _set_up(relay, fault, authority)
    if fault == "nobody listens":
        await relay.stop()
    trusted = stranger if fault == "unknown authority" else authority
    security = {"TLS to a plain port": SmtpSecurity.TLS}.get(fault, SmtpSecurity.STARTTLS)
    host = "relay.invalid" if fault == "unknown host" else "127.0.0.1"
    found = await _probe(relay, security, trusted.ca_file, host)
    assert found is not None
    assert advice in (found.advice or "")
    assert "\n" not in f"{found.detail}{found.advice}"


async def test_a_relay_without_fault(relay: ScriptedRelay) -> None:
    """There is nothing to advise."""
    assert await _probe(relay, SmtpSecurity.NONE, None, "127.0.0.1") is None


@pytest.mark.parametrize(
    ("error", "cause", "security", "advice"),
    [
        (aiosmtplib.SMTPConnectTimeoutError("x"), TimeoutError(), None, "try NOTIFIER_SMTP__PORT=587"),
        (aiosmtplib.SMTPConnectTimeoutError("x"), TimeoutError(), SmtpSecurity.TLS, "SECURITY=starttls"),
        (aiosmtplib.SMTPConnectTimeoutError("x"), aiosmtplib.SMTPReadTimeoutError("x"), None, "SECURITY=tls"),
        (aiosmtplib.SMTPReadTimeoutError("x"), TimeoutError(), None, "does not reply"),
        (TimeoutError(), None, None, "firewall"),
        (aiosmtplib.SMTPConnectError("x"), OSError(101, "Network is unreachable"), None, "check the network"),
        (aiosmtplib.SMTPConnectError("x"), OSError("Multiple exceptions: [Errno 111] a"), None, "listens"),
        (ssl.SSLError(1, "x"), None, SmtpSecurity.STARTTLS, "set NOTIFIER_SMTP__SECURITY=tls"),
        (ValueError("x"), None, None, None),
        (None, None, None, None),
    ],
)  # fmt: skip
def test_errors_that_take_long_to_cause(
    error: Exception | None, cause: Exception | None, security: SmtpSecurity | None, advice: str | None
) -> None:
    """Silence and networks, with the exceptions that the library raises for them."""
    if error is not None:
        error.__cause__ = cause
    found = find_advice(error, SmtpSettings(host="relay.example", security=security))
    assert (found is None) if advice is None else (advice in str(found))
