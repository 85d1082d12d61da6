"""The Celery tasks, run eagerly in this process: Celery's own retries, against scripted replies and the real API."""

import asyncio
import json
import os
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject
from celery.result import EagerResult
from integration.client.scripted_server import Server, answer, drop, problem
from support import api_caller
from support.notifier_process import find_free_port
from support.seeded_installation import Installation
from unit.client.test_celery_states import EXPECTED

from notifier.api.notifications.models import SCHEDULED
from notifier.client import NotifierClientError
from notifier.client import celery as tasks
from notifier.runtime import wiring
from notifier.states import Status

SENT = {"id": "018f", "status": "queued", "created_at": "2026-01-31T12:00:00Z"}
MAIL: dict[str, Any] = {"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "L"}}


@pytest.fixture(autouse=True)
def _application(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An application without a broker, and no client of another test."""
    application = Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=True)
    application.set_default()
    monkeypatch.setenv("NOTIFIER_API_KEY", "ntf_live_x")
    monkeypatch.setenv("NOTIFIER_URL", "http://127.0.0.1:1")
    yield
    _forget_clients()
    application.close()


def _forget_clients() -> None:
    """Close the clients of this process, so that the next ones have another URL."""
    for tries in (1, 5):
        tasks._open_client(os.getpid(), tries=tries).close()
    tasks._open_client.cache_clear()


def _run(monkeypatch: pytest.MonkeyPatch, url: str, task: Any, *args: Any, **kwargs: Any) -> EagerResult:
    """Run a task with its retries, which follow at once because it is eager."""
    monkeypatch.setenv("NOTIFIER_URL", url)
    return task.apply(args=args, kwargs=kwargs, task_id=kwargs.pop("task_id", "order-7"))


def test_temporary_errors_are_retried_with_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """429, 503, a lost reply and a duplicate in progress are retried, each with the id of the task as its key."""
    faults = [problem(503, "queue_too_long", Retry_After="9"), problem(429, "rate_limited"), drop]
    with Server(*faults, problem(409, "idempotency_in_progress"), answer(202, SENT)) as server:
        result = _run(monkeypatch, server.url, tasks.send, **MAIL)
    assert (result.state, result.get()) == ("SUCCESS", "018f")
    assert [request.key for request in server.requests] == ["order-7"] * 5
    assert json.loads(server.requests[0].body) == MAIL


@pytest.mark.parametrize(
    ("status", "code"), [(422, "invalid_request"), (401, "unauthenticated"), (422, "idempotency_key_reused")]
)
def test_other_errors_fail_at_once(monkeypatch: pytest.MonkeyPatch, status: int, code: str) -> None:
    """Another 4xx is not retried; the error has the problem's sentence, also after pickle and JSON."""
    with Server(problem(status, code)) as server:
        result = _run(monkeypatch, server.url, tasks.send, **MAIL)
    assert (result.state, len(server.requests)) == ("FAILURE", 1)
    error = result.result
    assert type(error) is NotifierClientError
    assert str(error) == f"{status} {code}: D (request 9f2c)"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert json.loads(json.dumps(error.args)) == [str(error)]


def test_a_batch_has_the_task_as_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """`send_many` returns the ids in order; it is repeated while a mail is in progress, and fails for other codes."""
    items = [SENT | {"index": 0}, SENT | {"index": 1, "id": "018e"}]
    busy = {"index": 1, "error": {"code": "idempotency_in_progress", "errors": []}}
    reused = {"index": 1, "error": {"code": "idempotency_key_reused", "errors": []}}
    with Server(answer(202, {"results": [items[0], busy]}), answer(202, {"results": items})) as server:
        result = _run(monkeypatch, server.url, tasks.send_many, [MAIL, MAIL])
    assert result.get() == ["018f", "018e"]
    assert [request.key for request in server.requests] == ["order-7"] * 2
    _forget_clients()
    with Server(answer(202, {"results": [items[0], reused]})) as server:
        result = _run(monkeypatch, server.url, tasks.send_many, [MAIL, MAIL])
    assert (str(result.result), len(server.requests)) == ("1 of the batch were refused: idempotency_key_reused", 1)


def test_a_retry_that_the_broker_does_not_take_keeps_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise Celery drops the message of the run, and no other one was published."""
    application = Celery("shop", broker=f"redis://127.0.0.1:{find_free_port()}", set_as_current=True)
    application.set_default()
    tasks.send.push_request(id="order-7", called_directly=False, is_eager=False, retries=0, args=(), kwargs=MAIL)
    try:
        with pytest.raises(Reject) as caught:
            tasks.send.run(**MAIL)
    finally:
        tasks.send.pop_request()
        application.close()
    assert caught.value.requeue is True


@pytest.mark.parametrize("task", [tasks.send, tasks.send_many])
def test_a_message_is_acknowledged_when_its_task_has_ended(task: Any) -> None:
    """A lost worker loses no task."""
    assert (task.acks_late, task.reject_on_worker_lost) == (True, True)
    assert task.name in ("notifier.send", "notifier.send_many")


async def test_status_asks_the_real_api(monkeypatch: pytest.MonkeyPatch, api: str, installation: Installation) -> None:
    """A task that ran twice has one notification and its state; an unknown task is a LookupError."""
    monkeypatch.setenv("NOTIFIER_API_KEY", installation.keys.shop)
    ids = [(await asyncio.to_thread(_run, monkeypatch, api, tasks.send, **MAIL)).get() for _ in range(2)]
    assert ids[0] == ids[1]
    many = await asyncio.to_thread(_run, monkeypatch, api, tasks.send_many, [MAIL], defaults={"tags": ["order"]})
    assert len(many.get()) == 1
    assert await asyncio.to_thread(tasks.status, "order-7") == "PENDING"
    assert await asyncio.to_thread(tasks.status, "order-7#0") == "PENDING"
    with pytest.raises(LookupError, match="no mail of the task order-8"):
        await asyncio.to_thread(tasks.status, "order-8")


async def test_each_status_in_the_database_has_its_state(
    monkeypatch: pytest.MonkeyPatch, api: str, parts: wiring.ProcessParts, installation: Installation
) -> None:
    """The state of a task is what the row of its mail says, also `UNCERTAIN`; a mail for later is PENDING."""
    monkeypatch.setenv("NOTIFIER_API_KEY", installation.keys.shop)
    for status in Status:
        result = await asyncio.to_thread(_run, monkeypatch, api, tasks.send, task_id=f"order-{status}", **MAIL)
        await api_caller.set_notification(parts.database, f"/v1/notifications/{result.get()}", status=status)
    later = MAIL | {"send_at": datetime.now(UTC) + timedelta(days=1)}
    await asyncio.to_thread(_run, monkeypatch, api, tasks.send, task_id=f"order-{SCHEDULED}", **later)
    for status in (*Status, SCHEDULED):
        assert status in EXPECTED[await asyncio.to_thread(tasks.status, f"order-{status}")]
