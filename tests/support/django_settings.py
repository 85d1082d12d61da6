"""Django's settings, which a process can have once: those of a shop that sends mail through our backends."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test.utils import override_settings
from sqlalchemy import make_url

API_BACKEND = "notifier.client.django.ApiBackend"
PRODUCER_BACKEND = "notifier.client.django.ProducerBackend"
SENDER = "Shop <orders@shop.example>"


def configure_django() -> None:
    """Configure Django, unless an earlier test has done it."""
    if not settings.configured:
        settings.configure(
            DEFAULT_FROM_EMAIL=SENDER,
            EMAIL_BACKEND=API_BACKEND,
            INSTALLED_APPS=["notifier.client.django"],
            LOGGING_CONFIG=None,
            TIME_ZONE="UTC",
            USE_TZ=True,
        )
        django.setup()


@contextmanager
def use_database(url: str) -> Iterator[None]:
    """Use this database, with the producer table and its backend, in this thread until the block ends."""
    parts = make_url(url)
    is_sqlite = url.startswith("sqlite")
    database = {
        "ENGINE": f"django.db.backends.{'sqlite3' if is_sqlite else 'postgresql'}",
        "NAME": parts.database,
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "HOST": parts.host or str(parts.query.get("host", "")),
        "PORT": parts.port or "",
    }
    before = connections.settings
    connections.settings = before | connections.configure_settings({"default": database})
    with suppress(AttributeError):
        del connections["default"]  # the one without a database, which Django opens at its start
    try:
        call_command("migrate", verbosity=0)
        with override_settings(EMAIL_BACKEND=PRODUCER_BACKEND):
            yield
    finally:
        connections["default"].close()
        del connections["default"]
        connections.settings = before
