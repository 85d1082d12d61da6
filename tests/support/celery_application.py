"""A Celery application on the broker of `BROKER_URL`.

On Redis, messages of a killed worker are delivered again after two seconds.
"""

import os

from celery import Celery

import notifier.client.celery  # noqa: F401 - its tasks

URL = os.environ["BROKER_URL"]
OPTIONS = {
    "redis": {
        "visibility_timeout": 2,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 2,  # a worker that was killed while it gave messages back
    },
    "amqp": {"confirm_publish": True},
}
app = Celery("tests", broker=URL)
app.conf.broker_transport_options = OPTIONS[URL.partition(":")[0]]
app.conf.task_default_queue_type = os.environ.get("QUEUE_TYPE", "classic")
app.conf.task_default_exchange_type = "topic" if app.conf.task_default_queue_type == "quorum" else "direct"
