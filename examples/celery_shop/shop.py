"""A Celery application on Redis that sends the mails of a shop through Notifier."""

import os
import sys

from celery import Celery

from notifier.client.celery import send, status

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
app = Celery("shop", broker=REDIS_URL, backend=REDIS_URL)
app.set_default()  # also for the threads of a web server


def take_order(number: int, customer: str, address: str) -> str:
    """Send the mail of an order, and return the id of its task."""
    mail = {"to": address, "template": "welcome", "variables": {"name": customer, "product": "Larkspur"}}
    # With an id of our own there is one mail for the order, even if this is called twice.
    return str(send.apply_async(kwargs=mail, task_id=f"order-{number}").id)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["order", number, customer, address]:
            print(take_order(int(number), customer, address))  # noqa: T201
        case ["status", task_id]:
            print(status(task_id))  # noqa: T201
        case _:
            sys.exit("usage: shop.py order NUMBER CUSTOMER ADDRESS | status TASK_ID")
