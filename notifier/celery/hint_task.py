"""The task `notifier.wake`: a hint, handled in the main process of a worker. Its pool has nothing to do with it."""

from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from celery.utils.log import get_logger
from celery.worker import state

_LOG = get_logger(__name__)


def build_hint_strategy(task: Task, _app: Celery, consumer: Any, **_: Any) -> Callable[..., None]:
    """Build the function that gets each hint: it wakes the senders of the worker, and reports the task as done."""

    def receive(message: Any, _body: Any, ack: Callable[..., None], _reject: Any, _callbacks: Any) -> None:
        ack(_LOG, consumer.connection_errors)
        consumer.controller.senders.wake()
        state.total_count[task.name] += 1
        events, hint_id = consumer.event_dispatcher, message.headers.get("id", "")
        if events and events.enabled:
            events.send("task-received", uuid=hint_id, name=task.name, args="()", kwargs="{}")
            events.send("task-succeeded", uuid=hint_id, result="None", runtime=0.0)

    return receive
