"""Django's mail calls through `ApiBackend` and the real API: what arrives, what is counted, what raises."""

import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable
from email import message_from_bytes, policy
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import (
    EmailMessage,
    EmailMultiAlternatives,
    get_connection,
    mail_admins,
    mail_managers,
    send_mail,
    send_mass_mail,
)
from django.test.utils import override_settings
from django.utils.functional import lazystr
from support import marketing_template, notifier_process
from support.django_settings import API_BACKEND, SENDER, configure_django
from support.document_blocks import list_blocks, run_python_block
from support.seeded_installation import Installation

from notifier.client import Attachment, BatchItem, InvalidRequestError, Notifier
from notifier.client.django import MailSendError
from notifier.client.django.api_backend import split_batches
from notifier.runtime import wiring

configure_django()
TO = ["ada@example.com"]
SETTINGS, MESSAGE = list_blocks("docs/django.md", "python")[:2]


@pytest.fixture
def installation(sqlite_installation: Installation) -> Installation:
    """An installation on SQLite only; other tests compare the databases."""
    return sqlite_installation


@pytest.fixture
async def shop(api: str, parts: wiring.ProcessParts) -> AsyncIterator[Notifier]:
    """A client with the shop's key, which the settings of Django have too."""
    key = await marketing_template.create_marketing_key(parts, "shop")
    with override_settings(NOTIFIER={"URL": api, "KEY": key}), Notifier(url=api, key=key) as notifier:
        yield notifier


async def _call(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    return await asyncio.to_thread(function, *arguments, **named)


def _list_mails(shop: Notifier) -> list[Any]:
    """All mails with copies, oldest first, as the API stores them."""
    return [message_from_bytes(shop.eml(item.id), policy=policy.default) for item in [*shop.list(copies=True)][::-1]]


async def test_a_message_with_everything_arrives_as_django_would_send_it(shop: Notifier) -> None:
    """Bodies, addresses, headers and files are in each copy; bcc is in none."""
    message = EmailMultiAlternatives(
        "Grüße 🎉",
        "Text",
        to=["Ada <ada@example.com>", "bob@example.com"],
        cc=["carol@example.com"],
        bcc=["dan@example.com"],
        reply_to=["Help <help@shop.example>"],
        headers={"X-Order": "FG-20418"},
        attachments=[("terms.txt", "Größe", "text/plain")],
    )
    message.attach_alternative("<p>HTML</p>", "text/html")
    assert await _call(message.send) == 1
    mails = await _call(_list_mails, shop)
    assert len(mails) == 4
    for mail in mails:
        assert (mail["subject"], mail["from"], mail["to"]) == ("Grüße 🎉", SENDER, "ada@example.com")
        assert mail["cc"] == "bob@example.com, carol@example.com"
        assert (mail["reply-to"], mail["x-order"], mail["bcc"]) == ("Help <help@shop.example>", "FG-20418", None)
        assert mail.get_body(["plain"]).get_content().strip() == "Text"
        assert mail.get_body(["html"]).get_content().strip() == "<p>HTML</p>"
        (file,) = mail.iter_attachments()
        assert (file.get_filename(), file.get_content()) == ("terms.txt", "Größe")


async def test_the_short_calls(shop: Notifier) -> None:
    """`send_mail`, with HTML and for a user, and `send_mass_mail`, which is one batch."""
    sent = [
        await _call(send_mail, "one", "Text", None, TO, html_message="<p>Hi</p>", auth_user="u", auth_password="p"),
        await _call(send_mass_mail, [(subject, "Text", None, TO) for subject in ("two", "three")]),
        await _call(send_mail, "nobody", "Text", None, []),
        await _call(EmailMessage("empty", "", to=TO).send),
    ]
    assert sent == [1, 2, 0, 1]
    assert [mail["subject"] for mail in await _call(_list_mails, shop)] == ["one", "two", "three", "empty"]
    assert len({item.batch_id for item in await _call(lambda: [*shop.list()])}) == 2


async def test_mail_to_the_people_of_the_project(shop: Notifier) -> None:
    """`mail_admins` and `mail_managers` with their prefix, lazy texts and HTML; nobody is no error."""
    people = {"ADMINS": [("Ada, A", "ada@example.com"), ("Bob", "bob@example.com")], "MANAGERS": []}
    with override_settings(**people):
        await _call(mail_admins, lazystr("Disk full"), "Text", html_message="<p>HTML</p>")
        await _call(mail_managers, "nobody", "Text")
    for mail in await _call(_list_mails, shop):
        assert (mail["subject"], mail["to"], mail["cc"]) == ("[Django] Disk full", TO[0], "bob@example.com")
        assert mail["from"] == "Notifier <notifier@instance.example>"
        assert mail.get_content_type() == "multipart/alternative"


async def test_what_other_alphabets_and_long_lines_become(shop: Notifier) -> None:
    """A domain becomes its A-label; long subjects, lines and names of files are the same after the way."""
    subject, body, name = "Größe und Farbe " * 12, "I de sørlige hav " * 80, "une pièce jointe.pdf"
    message = EmailMessage(subject, body, '"Käse, Brot" <orders@shop.example>', ["to@öäü.com"], cc=["cc@öäü.com"])
    message.attach(name, b"%PDF-1.4\n", "application/pdf")
    assert await _call(message.send) == 1
    mail, *_ = await _call(_list_mails, shop)
    assert (mail["subject"], mail["to"], mail["cc"]) == (subject, "to@xn--4ca9at.com", "cc@xn--4ca9at.com")
    assert mail["from"].addresses[0].display_name == "Käse, Brot"
    assert mail.get_body(["plain"]).get_content().strip() == body.strip()
    assert [file.get_filename() for file in mail.iter_attachments()] == [name]


async def test_any_iterable_of_messages(shop: Notifier) -> None:
    """An iterator is one batch, and an empty list none; a message without a text is sent."""
    messages = [EmailMessage("s", to=[f"to-{number}@example.com"]) for number in (1, 2)]
    assert await _call(get_connection().send_messages, iter(messages)) == 2
    assert await _call(get_connection().send_messages, []) == 0
    assert [mail["to"] for mail in await _call(_list_mails, shop)] == ["to-1@example.com", "to-2@example.com"]


async def test_the_page(shop: Notifier, api: str, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the settings of docs/django.md its message is sent, once however often it is called."""
    monkeypatch.setenv("NOTIFIER_URL", api)
    monkeypatch.setenv("NOTIFIER_API_KEY", installation.keys.shop)
    named = {name: value for name, value in run_python_block(SETTINGS)[1].items() if name.isupper()}
    assert (named["EMAIL_BACKEND"], named["DEFAULT_FROM_EMAIL"]) == (API_BACKEND, SENDER)
    confirm_order = run_python_block(MESSAGE)[1]["confirm_order"]
    with override_settings(**named):
        for _ in range(2):
            await _call(confirm_order, "FG-20418", "ada@example.com")
    (mail,) = await _call(_list_mails, shop)
    assert (mail["subject"], mail["idempotency-key"]) == ("Your order FG-20418", None)


async def test_a_repeated_key_makes_no_second_mail(shop: Notifier) -> None:
    """Also in a new process, and the repetition counts as sent."""
    for _ in range(2):
        assert await _call(EmailMessage("s", "b", to=TO, headers={"Idempotency-Key": "order-7"}).send) == 1
    assert len(await _call(_list_mails, shop)) == 1


async def test_one_faulty_message_refuses_all_of_a_call(shop: Notifier) -> None:
    """It raises what callers of SMTP catch, with the fault, and nothing is sent; `fail_silently` sends the others."""
    messages = [EmailMessage("s", "b", to=[to]) for to in ("ada@example.com", "nobody", "bob@example.com")]
    with pytest.raises(smtplib.SMTPException, match="/notifications/1/to") as caught:
        await _call(get_connection().send_messages, messages)
    assert isinstance(caught.value.__cause__, InvalidRequestError)
    with pytest.raises(OSError, match="multipart/signed"):
        await _call(get_connection().send_messages, [*messages[:1], _signed()])
    assert await _call(_list_mails, shop) == []
    silent = get_connection(fail_silently=True)
    assert await _call(silent.send_messages, [*messages, _signed()]) == 2
    assert [mail["to"] for mail in await _call(_list_mails, shop)] == ["ada@example.com", "bob@example.com"]


def _signed() -> EmailMessage:
    message = EmailMessage("s", "b", to=TO, attachments=[("a.txt", "a", "text/plain")])
    message.mixed_subtype = "signed"
    return message


async def test_a_header_that_the_operator_has_not_allowed(shop: Notifier) -> None:
    """The API's sentence is in the error."""
    with pytest.raises(MailSendError, match="ALLOWED_HEADERS"):
        await _call(EmailMessage("s", "b", to=TO, headers={"X-Shop": "7"}).send)


async def test_one_connection_for_several_calls(shop: Notifier) -> None:
    """A connection that the caller has opened stays open until its block ends."""

    def send_two() -> list[bool]:
        with get_connection() as connection:
            for _ in range(2):
                EmailMessage("s", "b", to=TO, connection=connection).send()
            is_open = not connection.open()
        was_closed = connection.open()
        connection.close()
        return [is_open, was_closed]

    assert await _call(send_two) == [True, True]


def test_nobody_listens() -> None:
    """It raises, or with `fail_silently` counts nothing."""
    closed = f"http://127.0.0.1:{notifier_process.find_free_port()}"
    with override_settings(NOTIFIER={"URL": closed, "KEY": "ntf_live_x", "TIMEOUT": 0.2}):
        with pytest.raises(MailSendError, match="nothing was done"):
            send_mail("s", "b", None, TO)
        assert send_mail("s", "b", None, TO, fail_silently=True) == 0


@pytest.mark.parametrize(
    ("options", "sentence"), [({}, "NOTIFIER_URL"), ({"URL": "http://x"}, "NOTIFIER_API_KEY"), ({"url": "x"}, "'url'")]
)
def test_incomplete_settings(monkeypatch: pytest.MonkeyPatch, options: dict[str, str], sentence: str) -> None:
    """The error says what is missing, also with `fail_silently`, because no mail could ever be sent."""
    monkeypatch.delenv("NOTIFIER_URL", raising=False)
    monkeypatch.delenv("NOTIFIER_API_KEY", raising=False)
    with override_settings(NOTIFIER=options), pytest.raises(ImproperlyConfigured, match=sentence):
        get_connection(API_BACKEND, fail_silently=True).send_messages([EmailMessage("s", "b", to=TO)])


def _list_parts(count: int, mail: BatchItem) -> list[int]:
    return [len(part) for part in split_batches((number, mail) for number in range(count))]


def test_many_messages_are_several_requests() -> None:
    """A request has no more notifications, mails and bytes than the API takes."""
    file = Attachment(filename="a.bin", content=bytes(5 * 1024 * 1024))
    assert _list_parts(1001, {"to": "a@x.org"}) == [1000, 1]
    assert _list_parts(99, {"to": "a@x.org", "cc": ["b@x.org"] * 25, "bcc": ["c@x.org"] * 25}) == [98, 1]
    assert _list_parts(3, {"to": "a@x.org", "attachments": [file]}) == [2, 1]
