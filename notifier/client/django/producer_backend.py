"""The e-mail backend over the producer table: a mail is written in the transaction of Django's own connection.

If that rolls back, there is no mail. `notifier forward` moves the committed ones to the API.
"""

from collections.abc import Iterable

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from notifier.client.django.base_backend import NotifierBackend
from notifier.client.django.errors import MailSendError
from notifier.client.django.message_fields import map_message
from notifier.client.django.project_settings import read_options
from notifier.client.errors import UnsendableError
from notifier.client.producer_row import build_row_body, generate_row_id

_INSERT = "INSERT INTO notifier_producer (id, body) VALUES (%s, %s)"
_VENDORS = ("postgresql", "sqlite")


class ProducerBackend(NotifierBackend):
    """Writes mail into the project's database: `EMAIL_BACKEND = "notifier.client.django.ProducerBackend"`."""

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Write the messages, all or none. Returns how many; raises `MailSendError` before anything is written.

        An error of the database is raised also with `fail_silently`, because it may have ended the transaction.
        """
        written = [bodies for message in email_messages if (bodies := self._build_bodies(message))]
        rows = [body for bodies in written for body in bodies]
        if rows:
            _insert_rows(rows)
        return len(written)

    def _build_bodies(self, message: EmailMessage) -> list[str]:
        """The JSON of each mail of a message; none if it has no recipient, or a fault that is to stay silent."""
        try:
            return _build_bodies(message)
        except MailSendError:
            if self.fail_silently:
                return []
            raise


def _build_bodies(message: EmailMessage) -> list[str]:
    bodies = []
    for mail in map_message(message):
        if mail.pop("idempotency_key", None) is not None:
            raise MailSendError("leave out the header Idempotency-Key: the transaction writes the mail once")
        try:
            bodies.append(build_row_body(mail))
        except UnsendableError as error:
            raise MailSendError(f"the mail cannot be sent: {error}") from error
    return bodies


def _insert_rows(bodies: list[str]) -> None:
    """Insert a row for each mail, in the current transaction of Django's connection, or in one of their own."""
    database = read_options().get("DATABASE", DEFAULT_DB_ALIAS)
    connection = connections[database]
    if connection.vendor not in _VENDORS:
        raise ImproperlyConfigured(f"the producer table needs PostgreSQL or SQLite, not {connection.vendor}")
    ids = [generate_row_id() for _ in bodies]
    keys = ids if connection.features.has_native_uuid_field else [id_.hex for id_ in ids]
    with transaction.atomic(using=database, savepoint=False), connection.cursor() as cursor:
        cursor.executemany(_INSERT, list(zip(keys, bodies, strict=True)))
