"""Errors before the reply to MAIL use no attempt: certificates, host names, files and our own code."""

import asyncio
import builtins
import contextlib
import errno
import os
import resource
import ssl
from collections.abc import Iterator
from pathlib import Path

import aiosmtplib
import pytest
from pydantic import SecretStr
from support.announced_pair import mail_to
from support.body_permit import grant_permit
from support.certificate_authority import CertificateAuthority
from support.scripted_relay import ScriptedRelay

from notifier.outcomes import Accepted, NotTried, OutageScope, Outcome
from notifier.smtp.connection_limit import MAX_OPENING
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSecurity, SmtpSettings


async def send(transport: SmtpTransport, mails: int = 1) -> list[Outcome]:
    """Send this many mails at once."""
    sendings = (transport.send(mail_to(f"n{n}"), seconds=30, before_body=grant_permit) for n in range(mails))
    return await asyncio.gather(*sendings)


def exceptions() -> Iterator[BaseException]:
    """Yield one error of each kind that Python or a library may raise while connecting."""
    yield ssl.SSLError(1, "wrong version number")
    yield OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    yield UnicodeEncodeError("idna", "x" * 64, 0, 64, "label too long")
    yield aiosmtplib.SMTPException("odd")
    for kind in vars(builtins).values():
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning | UnicodeError):
            if issubclass(kind, ExceptionGroup):
                yield kind("odd", [ValueError()])
            else:
                yield from (kind("odd"), kind())


async def test_whatever_raises_while_connecting(monkeypatch: pytest.MonkeyPatch, relay: ScriptedRelay) -> None:
    """Every kind of error becomes an outcome, and the next mail is sent."""
    transport = SmtpTransport(SmtpSettings(port=relay.port))
    count = 0
    for error in exceptions():

        async def fail(_self: object, error: BaseException = error) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(aiosmtplib.SMTP, "connect", fail)
            outcomes = await send(transport, 2)
        for outcome in outcomes:
            assert isinstance(outcome, NotTried), error
            assert (outcome.scope, bool(outcome.detail)) == (OutageScope.RELAY, True), error
        count += 1
    assert count > 60
    assert isinstance((await send(transport))[0], Accepted)
    await transport.close()


FILES = {
    "missing": (None, "there is no such file"),
    "a directory": (Path(), "is a directory"),
    "empty": (b"", "it is empty"),
    "blank": (b" \n\n", "it is empty"),
    "text": (b"hello\n", "it contains no certificate in PEM format"),
    "binary": (bytes(range(256)), "it contains no certificate in PEM format"),
    "a key": (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "a private key and no certificate"),
    "broken": (b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "cannot be read"),
    "cut": (b"-----BEGIN CERTIFICATE-----\nMIIB", "cannot be read"),
    "odd": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
}
"""Contents of an unusable certificate file, and the reported error."""


@pytest.mark.parametrize("security", [SmtpSecurity.TLS, SmtpSecurity.STARTTLS])
async def test_a_file_of_certificates_that_cannot_be_used(
    relay: ScriptedRelay, authority: CertificateAuthority, tmp_path: Path, security: SmtpSecurity
) -> None:
    """Without usable certificates nothing connects and no attempt is used; mail flows once the file is there."""
    await relay.stop()
    relay.tls, relay.starttls = (
        (authority.issue_server_context(), None)
        if security is SmtpSecurity.TLS
        else (None, authority.issue_server_context())
    )
    await relay.start()
    for name, (content, words) in FILES.items():
        ca_file = tmp_path / f"{name}.pem"
        if isinstance(content, Path):
            ca_file.mkdir()
        elif content is not None:
            ca_file.write_bytes(content)
        transport = SmtpTransport(SmtpSettings(port=relay.port, security=security, ca_file=ca_file))
        for outcome in await send(transport, 3):
            assert isinstance(outcome, NotTried), name
            assert outcome.needs_person
            assert f"NOTIFIER_SMTP__CA_FILE: {ca_file} cannot be used" in outcome.detail
            assert words in outcome.detail, name
        if isinstance(content, Path):
            ca_file.rmdir()
        ca_file.write_bytes(authority.ca_file.read_bytes())
        assert isinstance((await send(transport))[0], Accepted), name
        await transport.close()
    assert relay.connections == len(FILES)


async def test_a_file_that_is_replaced_is_read_again(
    relay: ScriptedRelay, authority: CertificateAuthority, tmp_path: Path
) -> None:
    """A replaced certificate file is used without a restart."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(CertificateAuthority(tmp_path).ca_file.read_bytes())
    relay.starttls = authority.issue_server_context()
    transport = SmtpTransport(SmtpSettings(port=relay.port, security=SmtpSecurity.STARTTLS, ca_file=ca_file))
    (outcome,) = await send(transport)
    assert isinstance(outcome, NotTried)
    ca_file.write_bytes(authority.ca_file.read_bytes())
    assert isinstance((await send(transport))[0], Accepted)
    ca_file.unlink()  # what was read stays in force
    relay.hang_up()
    assert isinstance((await send(transport))[0], Accepted)
    await transport.close()


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "é" * 64, "."])
async def test_a_host_that_is_no_name(host: str) -> None:
    """Invalid host names, for which codec and resolvers raise various errors, use no attempt."""
    (outcome,) = await send(SmtpTransport(SmtpSettings(host=host, security=SmtpSecurity.NONE)))
    assert isinstance(outcome, NotTried)
    assert outcome.scope is OutageScope.RELAY


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Let each open of a file or socket in the block fail."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(file.name) for file in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, before[1]))
    filling: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                filling.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in filling:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_process_without_descriptors(relay: ScriptedRelay) -> None:
    """Too many open files is a fault of this process and passes without a person."""
    transport = SmtpTransport(SmtpSettings(port=relay.port))
    with no_descriptors():
        outcomes = await send(transport, 2)
    assert all(isinstance(outcome, NotTried) and not outcome.needs_person for outcome in outcomes)
    assert isinstance((await send(transport))[0], Accepted)
    await transport.close()


async def test_a_wrong_password_is_tried_by_the_first_alone(
    relay: ScriptedRelay, authority: CertificateAuthority
) -> None:
    """B3: of twenty mails at a cold start one logs in, and the others wait and get its result."""
    await relay.stop()
    relay.tls, relay.users = authority.issue_server_context(), {"shop": "another"}
    await relay.start()
    settings = SmtpSettings(
        port=relay.port,
        security=SmtpSecurity.TLS,
        ca_file=authority.ca_file,
        username="shop",
        password=SecretStr("wrong"),
    )
    transport = SmtpTransport(settings)
    for probes in (1, 2):
        outcomes = await send(transport, 20)
        assert {type(outcome) for outcome in outcomes} == {NotTried}
        assert (relay.commands.count("AUTH"), relay.connections) == (probes, probes)
    relay.users = {"shop": "wrong"}
    assert all(isinstance(outcome, Accepted) for outcome in await send(transport, 20))
    await transport.close()


async def test_a_password_that_changes_under_way(relay: ScriptedRelay, authority: CertificateAuthority) -> None:
    """While logged-in connections are open, a refused login is not repeated for a minute."""
    await relay.stop()
    relay.tls, relay.users = authority.issue_server_context(), {"shop": "good-1"}
    await relay.start()
    settings = SmtpSettings(
        port=relay.port,
        security=SmtpSecurity.TLS,
        ca_file=authority.ca_file,
        username="shop",
        password=SecretStr("good-1"),
    )
    transport = SmtpTransport(settings)
    async with transport._pool.acquire(), transport._pool.acquire():
        logins = relay.commands.count("AUTH")
        relay.users = {"shop": "good-2"}
        waiting = asyncio.create_task(send(transport, 30))
        await relay.wait_for_commands("AUTH", logins + 1)
        waiting_too = asyncio.create_task(send(transport, 30))
    outcomes = [*await waiting, *await waiting_too]
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert relay.commands.count("AUTH") <= logins + MAX_OPENING
    await transport.close()
