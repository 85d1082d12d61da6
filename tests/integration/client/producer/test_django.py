"""Django's mail calls through `ProducerBackend`: rows in the transaction of Django's own connection."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection, send_mail
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.test.utils import override_settings
from support.django_settings import PRODUCER_BACKEND, SENDER, configure_django, use_database
from support.document_blocks import list_blocks, run_python_block
from support.producer.caller_database import CallerDatabase
from support.producer.django_orders import COMMITTED, TO, take_orders, take_orders_in
from support.producer.scripted_api import ScriptedApi

from notifier.client import producer
from notifier.client.django import MailSendError

configure_django()


@pytest.fixture(params=["sqlite", "postgresql+psycopg"])
def caller_url(request: pytest.FixtureRequest, caller_url: str) -> str:
    """The drivers that Django uses."""
    return caller_url


@pytest.fixture
def database(caller_url: str) -> Iterator[None]:
    """Django's database, with the table from the migration."""
    with use_database(caller_url):
        yield


def _list_subjects() -> list[str]:
    """The subjects of the rows that are there, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM notifier_producer ORDER BY id")
        return [json.loads(body)["content"]["subject"] for (body,) in cursor.fetchall()]


@pytest.mark.usefixtures("database")
def test_exactly_the_mails_of_committed_transactions_are_there() -> None:
    """Commit, rollback, savepoints and autocommit."""
    take_orders()
    assert _list_subjects() == COMMITTED


@pytest.mark.usefixtures("database")
def test_a_row_has_the_fields_of_the_api() -> None:
    """The body is what `POST /v1/notifications` takes."""
    message = EmailMultiAlternatives("Grüße", "Text", to=[*TO, "bob@example.com"], bcc=["dan@example.com"])
    message.attach_alternative("<p>HTML</p>", "text/html")
    message.attach("terms.txt", "%s")
    message.send()
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM notifier_producer")
        body: dict[str, Any] = json.loads(cursor.fetchone()[0])
    file = {"filename": "terms.txt", "content": "JXM=", "content_type": "text/plain"}
    assert {name: value for name, value in body.items() if value} == {
        "to": "ada@example.com",
        "cc": ["bob@example.com"],
        "bcc": ["dan@example.com"],
        "from": SENDER,
        "content": {"subject": "Grüße", "text": "Text", "html": "<p>HTML</p>"},
        "attachments": [file],
    }


@pytest.mark.usefixtures("database")
def test_a_message_with_a_fault_is_refused_before_anything_is_written() -> None:
    """All messages of the call; with `fail_silently` the others are written."""
    good = EmailMessage("good", "Text", to=TO)
    faulty = [
        EmailMessage("s", "b", to=TO, reply_to=["a@x.org", "b@x.org"]),
        EmailMessage("s", "b", to=TO, headers={"Idempotency-Key": "7"}),
        EmailMessage("s", "\0", to=TO),
    ]
    for message, sentence in zip(faulty, ("Reply-To", "Idempotency-Key", "NUL"), strict=True):
        with pytest.raises(MailSendError, match=sentence):
            get_connection().send_messages([good, message])
    assert _list_subjects() == []
    assert get_connection(fail_silently=True).send_messages([*faulty, good, EmailMessage("nobody", "b")]) == 1
    assert _list_subjects() == ["good"]


@pytest.mark.usefixtures("database")
def test_without_the_table_the_database_s_error_is_raised() -> None:
    """Also with `fail_silently`, because the transaction may have ended; the migration can be taken back."""
    call_command("migrate", "notifier", "zero", verbosity=0)
    with pytest.raises(DatabaseError, match="notifier_producer"):
        send_mail("s", "b", None, TO, fail_silently=True)


def test_a_database_that_no_forwarder_knows() -> None:
    """It is refused by its kind: here Django's placeholder, which a project without databases has."""
    with override_settings(EMAIL_BACKEND=PRODUCER_BACKEND), pytest.raises(ImproperlyConfigured, match="not unknown"):
        send_mail("s", "b", None, TO)


@pytest.mark.usefixtures("database")
def test_another_database_of_the_project() -> None:
    """`DATABASE` names it."""
    with override_settings(NOTIFIER={"DATABASE": "other"}), pytest.raises(Exception, match="'other' doesn't exist"):
        send_mail("s", "b", None, TO)


def test_the_page() -> None:
    """The settings of docs/django.md are those that these tests use."""
    names = run_python_block(list_blocks("docs/django.md", "python")[-1])[1]
    assert names["EMAIL_BACKEND"] == PRODUCER_BACKEND
    assert names["INSTALLED_APPS"] == settings.INSTALLED_APPS


async def test_the_forwarder_moves_them(caller_url: str) -> None:
    """Each committed mail is one notification at the API, and the table is empty."""
    await asyncio.to_thread(take_orders_in, caller_url)
    caller = CallerDatabase(caller_url)
    async with ScriptedApi() as api:
        forwarder = producer.Forwarder(caller.engine, url=api.url, key="ntf_live_x")
        await forwarder.forward_once()
        await forwarder.close()
        assert [item["content"]["subject"] for item in api.requests[0]] == COMMITTED
    assert await caller.rows() == {}
    await caller.close()
