"""Hints for Celery workers: few, after the commit, and never in the way of a request or of the end of a process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis as redis_library
from pydantic import SecretStr
from structlog.testing import capture_logs
from support.hanging_broker import HangingBroker
from support.polling import poll_in_thread, poll_until, wait_until
from support.redis_server import RedisServer
from support.seeded_installation import WELCOME, Installation

from notifier.errors import ConfigurationError
from notifier.runtime.hint_publisher import HINT_NAME, HintPublisher
from notifier.telemetry import metrics

CHANNEL = f"/0.{HINT_NAME}/{HINT_NAME}"


@contextmanager
def heard(server: RedisServer) -> Iterator[Any]:
    """Subscribe to hints as a worker does; the block gets the subscription."""
    with redis_library.Redis.from_url(server.url) as client, client.pubsub() as subscription:
        subscription.subscribe(CHANNEL)
        assert subscription.get_message(timeout=20)["type"] == "subscribe"
        yield subscription


def count(outcome: str) -> float:
    """Count the hints of this process with this outcome."""
    return float(metrics.HINTS.labels(outcome)._value.get())


def has_ended() -> bool:
    """True once no publisher of an earlier test runs."""
    return all(thread.name != "hint-publisher" for thread in threading.enumerate())


def with_broker(installation: Installation, url: str) -> Installation:
    """The installation with a broker for hints."""
    return installation.with_settings(celery={"broker_url": SecretStr(url)})


async def test_a_post_gives_a_hint_after_its_commit(postgres_installation: Installation) -> None:
    """When the hint arrives at the broker, the notification is in the database."""
    with RedisServer() as server, heard(server) as subscription:
        installation = with_broker(postgres_installation, server.url)
        async with installation.open_parts() as parts, installation.open_client(parts) as client:
            reply = await client.post("/v1/notifications", json=WELCOME)
            assert reply.status_code == 202
            await wait_until(lambda: bool(subscription.get_message()))


def test_many_requests_make_few_hints() -> None:
    """A thousand requests for a hint make at most three, and at least one comes after the last request."""
    with RedisServer() as server, heard(server) as subscription:
        publisher = HintPublisher(server.url)
        before = count("published")
        for _ in range(1000):
            publisher.request_hint()
        publisher.close()
        assert poll_in_thread(lambda: bool(subscription.get_message()))
        assert 1 <= count("published") - before <= 3


async def test_posts_are_answered_while_a_broker_hangs(postgres_installation: Installation) -> None:
    """A POST begins and is answered while one and the same request to the broker waits for its answer."""
    with HangingBroker() as broker:
        installation = with_broker(postgres_installation, broker.url)
        async with installation.open_parts() as parts, installation.open_client(parts) as client:

            async def is_answered_meanwhile() -> bool:
                waiting = broker.waiting
                assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 202
                return waiting is not None and broker.waiting == waiting

            assert await poll_until(is_answered_meanwhile)
    await wait_until(has_ended)


async def test_a_process_ends_while_a_broker_hangs() -> None:
    """The publisher is closed while its request to the broker still waits for an answer."""
    with HangingBroker() as broker:

        async def is_closed_meanwhile() -> bool:
            publisher = HintPublisher(broker.url)
            publisher.request_hint()
            await wait_until(lambda: broker.waiting is not None)
            waiting = broker.waiting
            publisher.close()
            return waiting is not None and broker.waiting == waiting

        assert await poll_until(is_closed_meanwhile)
    await wait_until(has_ended)


def test_the_circuit_opens_once_and_closes_once() -> None:
    """Without a broker one line is logged, however many hints fail; with the broker the hint that waited arrives."""
    with RedisServer() as server, capture_logs() as logs:
        url = server.url
        server.__exit__()
        publisher = HintPublisher(url)
        failed = count("failed")
        publisher.request_hint()
        assert poll_in_thread(lambda: count("failed") >= failed + 2)
        assert metrics.HINT_CIRCUIT_OPEN._value.get() == 1
        with server, heard(server) as subscription:
            assert poll_in_thread(lambda: bool(subscription.get_message()))
            assert poll_in_thread(lambda: metrics.HINT_CIRCUIT_OPEN._value.get() == 0)
            publisher.close()
        server.__enter__()
    assert [line["event"] for line in logs] == ["hint_circuit_opened", "hint_circuit_closed"]


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "nonsense://127.0.0.1/", "redis://127.0.0.1:port/0", "etcd://h/"])
def test_a_broker_that_can_never_be_used_is_refused(url: str) -> None:
    """The sentence names the variable; for `etcd` the library is missing."""
    with pytest.raises(ConfigurationError, match="NOTIFIER_CELERY__BROKER_URL"):
        HintPublisher(url)
