"""Connections by the parameters of the URL: TLS modes, several hosts, application name and options."""

import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from support.certificate_authority import CertificateAuthority
from support.seeded_installation import Installation
from support.tls_proxy import TlsProxy

from notifier.db.engine import Database
from notifier.errors import ConfigurationError, DatabaseUnavailableError


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CertificateAuthority:
    """A certificate authority for the test; the home directory has none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return CertificateAuthority(tmp_path)


@pytest.fixture
def url(postgres_installation: Installation) -> str:
    return postgres_installation.settings.effective_database_url


@pytest.fixture
async def with_tls(url: str, authority: CertificateAuthority) -> AsyncIterator[TlsProxy]:
    async with TlsProxy(url, authority.issue_server_context("localhost")) as front:
        yield front


@pytest.fixture
async def without_tls(url: str) -> AsyncIterator[TlsProxy]:
    async with TlsProxy(url, None) as front:
        yield front


async def _ask(url: str, question: str = "SELECT 1 AS answer") -> str:
    """Run a statement through both kinds of connections."""
    database = Database(url)
    try:
        async with database.read() as connection:
            answer = (await connection.execute(text(question))).scalar_one()
        async with database.read_statement() as direct:
            assert (await direct.execute(text(question))).first()[0] == answer
    finally:
        await database.close()
    return str(answer)


async def _refusal(url: str) -> str:
    """Get the reason why there is no connection."""
    with pytest.raises((DatabaseUnavailableError, ConfigurationError)) as raised:
        await _ask(url)
    error = raised.value
    return (error.reason if isinstance(error, DatabaseUnavailableError) else str(error)) or ""


@pytest.mark.parametrize(
    ("parameters", "encrypted"),
    [
        ("sslmode=disable", False),
        ("sslmode=allow", False),
        ("sslmode=prefer", True),
        ("", True),
        ("sslmode=require", True),
        ("ssl=true", True),
        ("sslmode=require&sslrootcert=CA", True),
        ("sslmode=verify-ca&sslrootcert=CA", True),
        ("sslmode=verify-full&sslrootcert=CA", True),
        ("sslmode=verify-full&sslrootcert=CA&channel_binding=require", True),
        ("sslmode=require&ssl_min_protocol_version=TLSv1.3", True),
    ],
)
async def test_a_server_with_tls(
    with_tls: TlsProxy,
    authority: CertificateAuthority,
    parameters: str,
    encrypted: bool,  # noqa: FBT001 - a row of the table
) -> None:
    """Each TLS mode is applied to every connection."""
    assert await _ask(with_tls.url("localhost", parameters.replace("CA", str(authority.ca_file)))) == "1"
    assert set(with_tls.encrypted) == {encrypted}


@pytest.mark.parametrize(
    ("host", "parameters", "words"),
    [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=CA", "is for another host"),
        ("localhost", "sslmode=verify-full&sslrootcert=system", "is not trusted"),
        ("localhost", "sslmode=require&channel_binding=require", "is not trusted"),
        ("localhost", "sslmode=verify-ca", "sslrootcert"),
        ("localhost", "sslmode=require&sslrootcert=OTHER", "certificates"),
    ],
)
async def test_a_certificate_that_will_not_do(
    with_tls: TlsProxy, authority: CertificateAuthority, host: str, parameters: str, words: str, tmp_path: Path
) -> None:
    """A certificate of another host or an unknown authority, or a file without one: one line, and nothing is sent."""
    (tmp_path / "other.pem").write_text("no certificate")
    parameters = parameters.replace("CA", str(authority.ca_file)).replace("OTHER", str(tmp_path / "other.pem"))
    reason = await _refusal(with_tls.url(host, parameters))
    assert words in reason
    assert "\n" not in reason
    assert with_tls.encrypted == []


@pytest.mark.parametrize(
    ("parameters", "answer"),
    [("sslmode=disable", True), ("sslmode=allow", True), ("sslmode=prefer", True), ("sslmode=require", False)],
)
async def test_a_server_without_tls(without_tls: TlsProxy, parameters: str, answer: bool) -> None:  # noqa: FBT001
    """A connection without TLS is used, unless the mode demands TLS."""
    url = without_tls.url("127.0.0.1", parameters)
    if answer:
        assert await _ask(url) == "1"
        assert set(without_tls.encrypted) == {False}
    else:
        assert "does not offer TLS" in await _refusal(url)


async def test_options_and_name_reach_the_server(url: str) -> None:
    """`options`, `application_name`, and our own name where the URL has none."""
    assert await _ask(f"{url}&options=-c%20search_path%3Dpg_catalog", "SHOW search_path") == "pg_catalog"
    assert await _ask(f"{url}&options=-c+statement_timeout%3D7s", "SHOW statement_timeout") == "7s"
    assert await _ask(f"{url}&application_name=shop", "SHOW application_name") == "shop"
    name = await _ask(f"{url}&connect_timeout=9&keepalives=1", "SHOW application_name")
    assert name == f"notifier {os.getpid()}@{socket.gethostname()}"[:63]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("session", ["any", "primary", "read-write"])
async def test_the_first_of_several_hosts_that_will_do(without_tls: TlsProxy, silent_port: int, session: str) -> None:
    """Hosts that refuse or do not answer are skipped; the third one is used."""
    several = without_tls.url("127.0.0.1", f"target_session_attrs={session}")
    assert await _ask(several.replace("@", f"@127.0.0.1:1,127.0.0.1:{silent_port},")) == "1"


async def test_none_of_several_hosts(without_tls: TlsProxy) -> None:
    """If no host is suitable, the reason names all of them."""
    read_only = "target_session_attrs=read-write&options=-c%20default_transaction_read_only%3Don"
    several = without_tls.url("127.0.0.1", read_only)
    reason = await _refusal(several.replace("@", "@localhost:1,"))
    assert "target_session_attrs" in reason
    assert f"localhost:1, 127.0.0.1:{without_tls.port}" in reason
