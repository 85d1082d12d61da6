"""The e-mail backend over Notifier's API: when a call returns, each mail is committed there.

Several messages are one batch, and a fault in one refuses all. With `fail_silently` only the faulty ones are left out.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from notifier.client.blocking import Notifier
from notifier.client.django.base_backend import NotifierBackend
from notifier.client.django.errors import MailSendError
from notifier.client.django.message_fields import map_message
from notifier.client.django.project_settings import read_options
from notifier.client.errors import ConfigurationError, NotifierClientError
from notifier.client.request_fields import BatchItem, OnError, build_body
from notifier.client.retry_policy import RetryPolicy

DEFAULT_TIMEOUT = 20.0  # seconds for all attempts of a call, shorter than the usual limit of a web worker
MAX_BATCH_ITEMS = 1000
MAX_BATCH_MAILS = 5000
MAX_BATCH_BYTES = 14 * 1024 * 1024
NumberedMail = tuple[int, BatchItem]
"""The number of a message among those of one call, and a notification of it."""


class ApiBackend(NotifierBackend):
    """Sends mail over the API: `EMAIL_BACKEND = "notifier.client.django.ApiBackend"`."""

    def __init__(self, **options: Any) -> None:
        """Do not connect yet."""
        super().__init__(**options)
        self._client: Notifier | None = None

    def open(self) -> bool:
        """Open a client. Returns False if there is one already; the network is not used yet."""
        if self._client is not None:
            return False
        self._client = _open_client()
        return True

    def close(self) -> None:
        """Close the client and its connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Send the messages. Returns how many were accepted; raises `MailSendError` unless `fail_silently`."""
        mails = [*self._map_messages(email_messages)]
        if not mails:
            return 0
        is_new = self.open()
        try:
            refused = {number for part in split_batches(mails) for number in self._send_part(part)}
        finally:
            if is_new:
                self.close()
        return len({number for number, _ in mails} - refused)

    def _map_messages(self, messages: Iterable[EmailMessage]) -> Iterator[NumberedMail]:
        for number, message in enumerate(messages):
            try:
                for mail in map_message(message):
                    yield number, mail
            except MailSendError:
                if not self.fail_silently:
                    raise

    def _send_part(self, part: list[NumberedMail]) -> list[int]:
        """Send one request. Returns the numbers of the messages that were not accepted."""
        assert self._client is not None
        try:
            if len(part) == 1:
                self._client.send(**part[0][1])
                return []
            on_error: OnError = "skip_invalid" if self.fail_silently else "reject_all"
            refused = self._client.send_batch([mail for _, mail in part], on_error=on_error).refused
        except NotifierClientError as error:
            if self.fail_silently:
                return [number for number, _ in part]
            raise MailSendError(f"Notifier has not accepted the mail: {error}") from error
        if refused and not self.fail_silently:
            codes = ", ".join(f"{result.error.code} (message {part[result.index][0]})" for result in refused)
            raise MailSendError(f"Notifier has not accepted all of the mails: {codes}")
        return [part[result.index][0] for result in refused]


def _open_client() -> Notifier:
    """Open a client with the project's settings; what they lack comes from the environment."""
    options = read_options()
    timeout = options.get("TIMEOUT", DEFAULT_TIMEOUT)
    try:
        return Notifier(
            url=options.get("URL"), key=options.get("KEY"), timeout=timeout, retries=RetryPolicy(seconds=timeout)
        )
    except ConfigurationError as error:
        raise ImproperlyConfigured(f"set NOTIFIER = {{'URL': …, 'KEY': …}}: {error}") from error


def split_batches(mails: Iterable[NumberedMail]) -> Iterator[list[NumberedMail]]:
    """Split the mails into as many requests as the API's limits need."""
    part: list[NumberedMail] = []
    count = size = 0
    for number, mail in mails:
        mail_count = 1 + len(mail.get("cc", ())) + len(mail.get("bcc", ()))
        mail_size = len(build_body(mail))
        is_full = (
            len(part) == MAX_BATCH_ITEMS or count + mail_count > MAX_BATCH_MAILS or size + mail_size > MAX_BATCH_BYTES
        )
        if part and is_full:
            yield part
            part, count, size = [], 0, 0
        part.append((number, mail))
        count += mail_count
        size += mail_size
    if part:
        yield part
