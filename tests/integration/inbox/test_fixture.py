"""The fixture that users of Notifier have without an import, used in the way they use it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.document_blocks import list_blocks

from notifier.inbox.client import MailHogClient
from notifier.inbox.inbox_server import BackgroundInbox, InboxPortBusy
from notifier.inbox.message_search import MailNotReceived

Send = Callable[..., None]


def test_a_mail_that_is_there_is_found(inbox: BackgroundInbox, send: Send) -> None:
    """A mail is found by envelope recipient, in any case, and by part of its subject."""
    send("Your order 1", to="ann@customer.example")
    send("Your order 2", to="bob@customer.example", html="<b>Hi</b>")

    mail = inbox.wait_for(to="BOB@customer.example", subject="order")

    assert mail.email["Subject"] == "Your order 2"
    assert (mail.sender, mail.recipients) == ("shop@shop.example", ("bob@customer.example",))
    assert (mail.text, mail.html) == ("Good day.\n", "<b>Hi</b>\n")


def test_the_block_of_the_page(inbox: BackgroundInbox, send: Send) -> None:
    """The test in docs/calling.md passes once the service sends its mail."""
    (block,) = list_blocks("docs/calling.md", "python")
    names: dict[str, Any] = {"send_mail_through": lambda *_where: send("Your order", to="ada@example.com")}
    exec(compile(block.text, block.document, "exec"), names)
    names["test_order_mail"](inbox)


def test_a_mail_that_comes_later_ends_the_wait(inbox: BackgroundInbox, send: Send) -> None:
    """A wait that began before the mail was sent ends with it."""
    sender = threading.Timer(0.05, send, ["Later"])
    sender.start()

    assert inbox.wait_for(subject="Later").subject == "Later"
    sender.join()


async def test_async_tests_wait_without_blocking_their_loop(inbox: BackgroundInbox, send: Send) -> None:
    """An async wait does not block the loop, which sends the mail meanwhile."""
    mail, _ = await asyncio.gather(inbox.wait_for_async(to="ann@customer.example"), asyncio.to_thread(send, "Hello"))

    assert mail.subject == "Hello"


def test_a_mail_that_does_not_come_fails_the_test_and_tells_what_did(inbox: BackgroundInbox, send: Send) -> None:
    """A missing mail raises an AssertionError that lists the recipients and subjects that arrived."""
    send("Something else", to="bob@customer.example")

    with pytest.raises(AssertionError) as verdict:
        inbox.wait_for(to="ann@customer.example", subject="Welcome", timeout=0.05)

    assert isinstance(verdict.value, MailNotReceived)
    assert [mail.subject for mail in verdict.value.arrived] == ["Something else"]
    assert str(verdict.value) == (
        "no mail to ann@customer.example with 'Welcome' in its subject arrived within 0.05 s; "
        "these 1 did (the last 1):\n  to bob@customer.example: 'Something else'"
    )


async def test_an_empty_inbox_is_said_to_be_empty(inbox: BackgroundInbox) -> None:
    """An empty inbox is reported as empty, also in async code."""
    with pytest.raises(MailNotReceived, match=r"no mail arrived within 0\.01 s; the inbox is empty"):
        await inbox.wait_for_async(timeout=0.01)


def test_a_cleared_inbox_is_empty(inbox: BackgroundInbox, send: Send) -> None:
    """A cleared mail is not found again."""
    send("old")
    inbox.clear()
    send("new")

    assert [mail.subject for mail in inbox.messages()] == ["new"]
    assert inbox.wait_for().subject == "new"


def test_a_port_in_use_is_told_where_the_inbox_was_started(inbox: BackgroundInbox) -> None:
    """An error of the inbox's thread, such as a port in use, is raised by `with`."""
    with pytest.raises(InboxPortBusy), BackgroundInbox(smtp_port=inbox.smtp_port):
        pass


def test_the_client_hears_mail_that_comes_while_it_waits(inbox: BackgroundInbox, send: Send) -> None:
    """A wait over the event stream passes over other mail and ends with the expected one, which is large."""

    def one_after_the_other() -> None:
        send("other")
        send("mine", text="0123456789\n" * 200_000)

    sender = threading.Timer(0.1, one_after_the_other)
    with MailHogClient(inbox.http_url) as client:
        sender.start()
        assert client.wait_for(subject="mine").subject == "mine"
    sender.join()


def test_the_client_stops_waiting_when_only_other_mail_comes(inbox: BackgroundInbox, send: Send) -> None:
    """Other mail does not extend the client's timeout, although it resets the socket's."""
    stop = threading.Event()

    def keep_sending() -> None:
        while not stop.is_set():
            send("other")

    sender = threading.Thread(target=keep_sending)
    with MailHogClient(inbox.http_url) as client:
        sender.start()
        try:
            with pytest.raises(MailNotReceived):
                client.wait_for(subject="mine", timeout=0.15)
        finally:
            stop.set()
            sender.join()
