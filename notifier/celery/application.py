"""Builds the Celery application from the settings. A setting that cannot be used is one line on stderr, exit code 2."""

import functools

from celery import Celery
from kombu.common import Broadcast

from notifier.celery.hint_task import build_hint_strategy
from notifier.celery.sender_step import SenderStep
from notifier.cli.command import CommandError, load_settings
from notifier.cli.entry_point import refuse
from notifier.errors import ConfigurationError
from notifier.runtime.hint_publisher import BROKER_TIMEOUT_SECONDS, HINT_EXCHANGE, HINT_NAME, open_connection

BEAT_SECONDS = 10.0
"""Between two hints of `celery beat`, which shows that hints arrive. Senders do not need it."""
BROKER_SILENCE_SECONDS = 30.0
"""Seconds after which a worker gives up a connection to a silent broker, and connects again."""
LEFT_QUEUE_SECONDS = 60.0
"""Seconds after which the broker deletes the queue of a worker that was killed."""


@functools.cache
def build_application() -> Celery:
    """Build the application: one task, one queue for each worker, and the step that runs senders."""
    try:
        settings = load_settings()
        if settings.celery.broker_url is None:
            refuse("Celery needs NOTIFIER_CELERY__BROKER_URL, such as redis://host:6379/0")
        broker_url = settings.celery.broker_url.get_secret_value().strip()
        open_connection(broker_url)
    except (CommandError, ConfigurationError) as error:
        refuse(str(error))
    app = Celery("notifier", broker=broker_url)
    queue = Broadcast(
        HINT_NAME,
        exchange=HINT_EXCHANGE,
        routing_key=HINT_NAME,
        no_ack=True,
        max_length=1,
        expires=LEFT_QUEUE_SECONDS,
    )
    app.conf.update(
        task_queues=[queue],
        task_default_queue=HINT_NAME,
        task_routes={HINT_NAME: {"queue": HINT_NAME, "declare": [HINT_EXCHANGE]}},
        task_ignore_result=True,
        worker_concurrency=1,  # nothing runs in the pool
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_timeout": BROKER_SILENCE_SECONDS,
        },
        beat_schedule={HINT_NAME: {"task": HINT_NAME, "schedule": BEAT_SECONDS}},
    )
    app.task(wake, name=HINT_NAME, Strategy=staticmethod(build_hint_strategy))
    app.settings = settings
    app.steps["worker"].add(SenderStep)
    return app


def wake() -> None:
    """Wake the senders. This is never run: the main process of a worker takes the message as the hint it is."""
