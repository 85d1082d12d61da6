"""Fixtures of the SMTP tests: a transport to the scripted relay, and certificates for it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from support.announced_pair import AnnouncedPair
from support.certificate_authority import CertificateAuthority
from support.scripted_relay import ScriptedRelay

from notifier.smtp.session_pool import AnnounceLimits
from notifier.smtp.transport import SmtpTransport
from notifier.smtp_settings import SmtpSettings


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the tests on both event loops, because they write bodies differently."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def relay(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedRelay]:
    """A relay that accepts everything unless scripted otherwise; a test's parameter turns PIPELINING on."""
    started = await ScriptedRelay(pipelines=getattr(request, "param", False)).start()
    yield started
    await started.stop()


@pytest.fixture
async def transport(relay: ScriptedRelay) -> AsyncIterator[SmtpTransport]:
    """A transport to `relay`, without TLS."""
    made = SmtpTransport(SmtpSettings(port=relay.port, max_connections=4))
    yield made
    await made.close()


@pytest.fixture
def announcing() -> AnnounceLimits:
    """The product's limits for announcing mails, unless a test overrides them."""
    return AnnounceLimits()


@pytest.fixture
async def pair(relay: ScriptedRelay, announcing: AnnounceLimits) -> AsyncIterator[AnnouncedPair]:
    """Two mails for one connection that has been fast so far."""
    made = AnnouncedPair(relay, announcing=announcing)
    await made.open()
    yield made
    await made.transport.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """The authority that the tests' clients trust."""
    return CertificateAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """An authority that nobody trusts."""
    return CertificateAuthority(tmp_path_factory.mktemp("stranger"))
