"""The Celery tasks in the example's real worker on a real Redis, beside a running demo, as their documents say."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from chaos.process_tree import list_descendants
from integration.client.scripted_server import Server
from integration.client.test_lost_answers import passing_on
from support import notifier_process, running_demo
from support.celery_worker import CeleryWorker
from support.document_blocks import ROOT, list_blocks
from support.polling import poll_in_thread
from support.redis_server import RedisServer

from notifier.client import Notifier
from notifier.inbox.client import MailHogClient

EXAMPLE = ROOT / "examples" / "celery_shop"
WAIT_SECONDS = 100.0
MISSING = """
from celery.result import AsyncResult

mail = {"to": "dan@example.com", "template": "welcome", "variables": {"name": "Dan"} | product}
lost = publish_missing({task.id: mail, "order-8": mail})
print(lost, AsyncResult("order-8").get(timeout=60))
"""
PUBLISH = """
import json, sys
import shop
from celery import current_app

for name, task_id, kwargs in json.load(sys.stdin):
    result = current_app.send_task(name, kwargs=kwargs, task_id=task_id)
try:
    print(result.get(timeout=100))
except Exception as error:
    print(type(error).__module__, type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def demo(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running demo: its addresses and its key."""
    with running_demo.start_demo(tmp_path_factory.mktemp("demo"), demo_data) as demo:
        yield demo


def _environment(demo: dict[str, str], redis: RedisServer, api: str | None = None) -> dict[str, str]:
    settings = {"URL": api or demo["api"], "API_KEY": demo["key"]}
    env = notifier_process.without_coverage(notifier_process.build_environment(ROOT, **settings))
    path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return env | {"REDIS_URL": redis.url, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "PATH": path}


@pytest.fixture(scope="module")
def env(demo: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of the shop, whose worker is started as its README says."""
    start, _ = (block.text.splitlines() for block in list_blocks("examples/celery_shop/README.md", "sh"))
    assert start[2] == "cd examples/celery_shop && celery --app shop worker --loglevel INFO"
    with RedisServer() as redis, CeleryWorker("shop", EXAMPLE, _environment(demo, redis)):
        yield _environment(demo, redis)


@pytest.fixture(scope="module")
def notifier(demo: dict[str, str]) -> Iterator[Notifier]:
    """A client with the key of the demo."""
    with Notifier(url=demo["api"], key=demo["key"]) as client:
        yield client


def _run_program(program: str, env: dict[str, str], words: str = "") -> list[str]:
    """Run a program in the folder of the example; return the lines that it prints."""
    command = [sys.executable, "-c", program]
    return subprocess.check_output(command, env=env, cwd=EXAMPLE, input=words, text=True, timeout=200).splitlines()


def _publish(env: dict[str, str], *messages: tuple[str, str, dict[str, Any]]) -> str:
    """Publish messages (task, id, fields); return the result of the last one, or its error."""
    return "\n".join(_run_program(PUBLISH, env, json.dumps(messages)))


def test_the_example_sends_one_mail(env: dict[str, str], demo: dict[str, str], notifier: Notifier) -> None:
    """The commands of the README, twice: one mail arrives, and its state is SUCCESS."""
    _, orders = (block.text for block in list_blocks("examples/celery_shop/README.md", "sh"))
    script = ["bash", "-euc", orders.splitlines()[0] + "\n" + orders.splitlines()[1]]
    for _ in range(2):
        assert subprocess.check_output(script, env=env, cwd=ROOT, text=True, timeout=200) == "order-7\n"
    with MailHogClient(demo["inbox"]) as inbox:
        assert inbox.wait_for(to="ada@example.com", timeout=WAIT_SECONDS).subject == "Welcome to Larkspur, Ada"
    last = orders.splitlines()[0] + "\n" + orders.splitlines()[2]

    def is_sent() -> bool:
        return subprocess.check_output(["bash", "-euc", last], env=env, cwd=ROOT, text=True, timeout=200) == "SUCCESS\n"

    assert poll_in_thread(is_sent)
    assert len(list(notifier.list(to="ada@example.com"))) == 1


def test_the_page_says_what_happens(env: dict[str, str]) -> None:
    """The Python blocks of docs/celery.md print an id, a list of ids and two states, and publish what is missing."""
    sending, recipe, states = (block.text for block in list_blocks("docs/celery.md", "python"))
    first, many, missing, *shown = _run_program(f"import shop\n{sending}\n{recipe}\n{MISSING}\n{states}", env)
    assert re.fullmatch(r"[0-9a-f-]{36} [0-9a-f-]{36}", first)
    assert re.fullmatch(r"\['[0-9a-f-]{36}', '[0-9a-f-]{36}'\]", many)
    assert re.fullmatch(r"\['order-8'\] [0-9a-f-]{36}", missing)
    assert len(shown) == 2
    assert set(shown) <= {"PENDING", "SUCCESS"}


def test_a_task_that_was_published_twice_makes_one_notification(env: dict[str, str], notifier: Notifier) -> None:
    """Two messages with one id have one result."""
    mail = {"to": "twice@example.com", "template": "welcome", "variables": {"name": "T", "product": "Larkspur"}}
    task_id = str(uuid4())
    id_ = _publish(env, ("notifier.send", task_id, mail), ("notifier.send", task_id, mail))
    (only,) = notifier.list(to="twice@example.com")
    assert only.id == id_
    assert [item.id for item in notifier.list(idempotency_key=task_id)] == [id_]


def test_a_refused_mail_fails_with_its_sentence(env: dict[str, str]) -> None:
    """The error of a 422 survives the result backend, and the worker lives on."""
    mail = {"to": "nobody", "template": "welcome"}
    for _ in range(2):
        error = _publish(env, ("notifier.send", str(uuid4()), mail))
        assert error.startswith("notifier.client.errors NotifierClientError 422 invalid_request: /to: ")


def test_a_worker_that_is_killed_while_it_sends_makes_one_notification(
    demo: dict[str, str], notifier: Notifier
) -> None:
    """The child dies after Notifier has the mail and before the reply; the task runs again and gets the same id."""
    mail = {"to": "killed@example.com", "template": "welcome", "variables": {"name": "K", "product": "Larkspur"}}
    task_id = str(uuid4())
    kills: list[int] = []

    def kill_child(handler: Any) -> None:
        passing_on(demo["api"], losing=True)(handler)
        (child,) = list_descendants(worker.pid)
        os.kill(child, signal.SIGKILL)
        kills.append(child)

    with RedisServer() as redis, Server(kill_child, passing_on(demo["api"])) as wire:
        env = _environment(demo, redis, wire.url)
        with CeleryWorker("shop", EXAMPLE, env, concurrency=1) as worker:
            id_ = _publish(env, ("notifier.send", task_id, mail))
        keys = [request.key for request in wire.requests]
    assert (len(kills), keys) == (1, [task_id] * 2)
    (only,) = notifier.list(to="killed@example.com")
    assert only.id == id_
