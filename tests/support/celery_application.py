"""A Celery application whose broker delivers a task again two seconds after its worker was killed."""

import os

from celery import Celery

import notifier.client.celery  # noqa: F401 - its tasks

app = Celery("tests", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.broker_transport_options = {
    "visibility_timeout": 2,
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": 2,  # a worker that was killed while it gave messages back
}
