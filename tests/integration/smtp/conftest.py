"""Fixtures of the SMTP tests: a transport to the scripted relay, and certificates for it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from parts.certificate import Authority
from parts.pair import Pair
from parts.relay import Relay

from notifier.settings import SmtpSettings
from notifier.smtp.pool import Announcing
from notifier.smtp.transport import Transport


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both event loops: when a body counts as taken hangs on how a transport writes."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def relay(request: pytest.FixtureRequest) -> AsyncIterator[Relay]:
    """A relay that says yes unless told otherwise; it offers PIPELINING to a test that is parametrised so."""
    started = await Relay(pipelines=getattr(request, "param", False)).start()
    yield started
    await started.stop()


@pytest.fixture
async def transport(relay: Relay) -> AsyncIterator[Transport]:
    """A transport to `relay`, without TLS."""
    made = Transport(SmtpSettings(port=relay.port, max_connections=4))
    yield made
    await made.close()


@pytest.fixture
def announcing() -> Announcing:
    """When mails are announced: as the product does unless a test says otherwise."""
    return Announcing()


@pytest.fixture
async def pair(relay: Relay, announcing: Announcing) -> AsyncIterator[Pair]:
    """Two mails for one connection that has been quick."""
    made = Pair(relay, announcing=announcing)
    await made.open()
    yield made
    await made.transport.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the tests' clients trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))
