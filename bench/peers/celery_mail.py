"""Celery with Redis: a task renders with Jinja2 and sends with smtplib, over its process's connection.

`celery_mail fill COUNT` queues mails, `… drain PROCESSES` sends, `… clean` removes its keys.
"""

import os
import signal
import smtplib
import sys
import threading
import time
from email.message import EmailMessage
from functools import cache
from typing import Any

from celery import Celery
from celery.signals import worker_process_shutdown, worker_ready
from jinja2 import DictLoader, Environment, Template
from redis import Redis

from bench.peers import mail

PREFIX = "notifier-bench:"
QUEUE = "mails"
SENT = f"{PREFIX}sent"
LOOK_SECONDS = 0.02
REDIS_URL = os.environ["PEER_REDIS_URL"]

app = Celery("bench", broker=REDIS_URL)
app.conf.update(
    broker_transport_options={"global_keyprefix": PREFIX},
    broker_connection_retry_on_startup=True,
    task_default_queue=QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=64,  # as its documentation recommends for many short tasks
    worker_redirect_stdouts=False,
)
done = 0


@cache
def templates() -> tuple[Template, Template, Template]:
    """Subject, HTML and text, compiled once in each process."""
    parts = ("subject.txt", "body.html", "body.txt")
    loader = DictLoader({part: mail.given().source(part) for part in parts})
    environment = Environment(
        loader=loader, autoescape=lambda name: name == "body.html", trim_blocks=True, lstrip_blocks=True
    )
    subject, html, text = (environment.get_template(part) for part in parts)
    return subject, html, text


@cache
def connection() -> smtplib.SMTP:
    """Return the SMTP connection that this process keeps."""
    return smtplib.SMTP("127.0.0.1", int(os.environ["PEER_SMTP_PORT"]))


@cache
def sender() -> str:
    """The From address."""
    return mail.given().sender


@app.task(name="bench.send")
def send(recipient: str, variables: dict[str, Any]) -> None:
    """Render one mail and send it to the relay."""
    global done  # noqa: PLW0603 - one number in each process
    subject, html, text = templates()
    message = EmailMessage()
    message["From"], message["To"] = sender(), recipient
    message["Subject"] = subject.render(variables)
    message.set_content(text.render(variables))
    message.add_alternative(html.render(variables), subtype="html")
    connection().send_message(message)
    done += 1


def redis() -> Redis:
    """Connect to the broker."""
    return Redis.from_url(REDIS_URL)


def fill(count: int) -> None:
    """Queue mails."""
    sample = mail.given()
    _, html, text = templates()
    sample.must_equal(html.render(sample.variables), text.render(sample.variables))
    with app.connection_for_write() as broker, app.amqp.Producer(broker) as producer:
        for number in range(count):
            send.apply_async((mail.recipient(number), sample.variables), producer=producer)


@worker_process_shutdown.connect
def count_mine(**_: object) -> None:
    """Count the mails that this process sent."""
    redis().incrby(SENT, done)


def drain(processes: int) -> None:
    """Run a worker from its first task to the last, then stop it."""
    broker, seconds = redis(), 0.0
    broker.delete(SENT)

    def watch() -> None:
        nonlocal seconds
        started = time.perf_counter()
        while broker.llen(PREFIX + QUEUE) or broker.hlen(PREFIX + "unacked"):
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - started
        os.kill(os.getpid(), signal.SIGTERM)

    @worker_ready.connect(weak=False)
    def begin(**_: object) -> None:
        print("ready", flush=True)
        threading.Thread(target=watch, daemon=True).start()

    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    try:
        app.worker_main(["worker", f"--concurrency={processes}", *quiet])
    except SystemExit as stopped:
        if stopped.code:
            raise
    mail.tell(int(broker.get(SENT) or 0), seconds)


def clean() -> None:
    """Remove the remaining keys of the benchmark."""
    broker = redis()
    for key in broker.scan_iter(f"{PREFIX}*"):
        broker.delete(key)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", count]:
            fill(int(count))
        case ["drain", processes]:
            drain(int(processes))
        case ["clean"]:
            clean()
