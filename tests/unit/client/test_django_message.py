"""What becomes of a Django message: its fields as those of a notification, or a refusal with a sentence."""

from email.message import Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailAlternative, EmailAttachment, EmailMessage, EmailMultiAlternatives
from django.core.mail.message import BadHeaderError
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from support.django_settings import SENDER, configure_django

from notifier.client.django import ApiBackend, MailSendError, ProducerBackend
from notifier.client.django.message_fields import map_message

configure_django()
UNMAPPED_HEADERS = ("To", "Cc", "Bcc", "Message-ID", "Date", "Sender", "Resent-To", "Comments", "DKIM-Signature")
Fields = dict[str, Any]


def _map(**arguments: Any) -> Fields:
    """The one notification of a message to Ada, without what it lacks."""
    (mail,) = map_message(EmailMultiAlternatives(**{"subject": "s", "to": ["ada@example.com"]} | arguments))
    return {name: value for name, value in mail.items() if value}


def test_a_plain_message() -> None:
    """The subject and the body are the content, and the sender is DEFAULT_FROM_EMAIL."""
    content = {"subject": "Grüße 🎉", "text": "Bitte\n"}
    assert _map(subject="Grüße 🎉", body="Bitte\n") == {"to": "ada@example.com", "from_": SENDER, "content": content}


@pytest.mark.parametrize("sender", ["webmaster@localhost", "root@localhost"])
def test_a_project_without_a_sender_uses_the_instance_s_own(sender: str) -> None:
    """Django's defaults, the second one for mail to admins, are senders of nobody."""
    assert "from_" not in _map(from_email=sender)


def test_lazy_and_safe_texts() -> None:
    """Translations that are evaluated late, and safe strings, are plain text."""
    fields = _map(subject=lazystr("Your order"), body=mark_safe("Thanks"), to=[lazystr("bob@example.com")])
    assert (fields["to"], fields["content"]) == ("bob@example.com", {"subject": "Your order", "text": "Thanks"})


@pytest.mark.parametrize(
    ("body", "content"), [("Hi", {"text": "Hi", "html": "<p>Hi</p>"}), ("", {"html": "<p>Hi</p>"})]
)
def test_an_html_alternative(body: str, content: Fields) -> None:
    """The alternative is the HTML; an empty body is left out, so that the text is made from the HTML."""
    fields = _map(subject="s", body=body, alternatives=[("<p>Hi</p>", "text/html")])
    assert fields["content"] == {"subject": "s"} | content


@pytest.mark.parametrize(
    ("body", "encoding", "text"),
    [
        (None, None, "\n"),
        ("", None, "\n"),
        (b"Gr\xc3\xbc\xc3\x9fe", None, "Grüße"),
        (b"Gr\xfc\xdfe", "latin-1", "Grüße"),
    ],
)
def test_a_body_that_is_no_text(body: Any, encoding: str | None, text: str) -> None:
    """None is an empty body, and bytes are decoded, as Django does."""
    message = EmailMessage("s", to=["ada@example.com"])
    message.body, message.encoding = body, encoding
    assert map_message(message)[0]["content"] == {"subject": "s", "text": text}


def test_alternatives_of_the_constructor() -> None:
    """Tuples, Django's own class, and bytes are the same."""
    html = {"subject": "s", "html": "<p>Grüße</p>"}
    for alternative in (("<p>Grüße</p>", "text/html"), EmailAlternative("<p>Grüße</p>".encode(), "text/html")):
        assert _map(subject="s", alternatives=[alternative])["content"] == html


def test_an_html_body() -> None:
    """A body of subtype html is the HTML."""
    message = EmailMessage("s", "<p>Hi</p>", to=["ada@example.com"])
    message.content_subtype = "html"
    assert map_message(message)[0]["content"] == {"subject": "s", "html": "<p>Hi</p>"}


@pytest.mark.parametrize(
    ("to", "cc", "bcc", "mails"),
    [
        (["a@x.org", "b@x.org"], ["c@x.org"], ["d@x.org"], [("a@x.org", ["b@x.org", "c@x.org"], ["d@x.org"])]),
        ([], ["a@x.org", "b@x.org"], ["c@x.org"], [("a@x.org", ["b@x.org"], ["c@x.org"])]),
        ([], [], ["a@x.org", "b@x.org"], [("a@x.org", [], []), ("b@x.org", [], [])]),
        (
            ["Ada <a@x.org>", "", "A@X.org"],
            ["a@x.org"],
            ['"B, C" <b@x.org>', "b@x.org"],
            [("a@x.org", [], ["b@x.org"])],
        ),
        ([], [], [], []),
    ],
)
def test_recipients(to: list[str], cc: list[str], bcc: list[str], mails: list[Any]) -> None:
    """Visible addresses stay visible, those of bcc are shown to nobody, and a repeated one is left out."""
    mapped = map_message(EmailMessage("s", to=to, cc=cc, bcc=bcc))
    assert [(mail["to"], mail.get("cc", []), mail.get("bcc", [])) for mail in mapped] == mails


def test_a_message_to_nobody_has_no_faults() -> None:
    """Nobody gets it, so that its missing subject does not matter either."""
    assert map_message(EmailMessage(to=["", None])) == []


def test_headers() -> None:
    """From and Reply-To have their fields, Idempotency-Key is the key, and the others stay headers."""
    headers = {"From": "a@shop.example", "reply-to": "b@shop.example", "X-Order": 7, "List-Id": "<l.shop.example>"}
    fields = _map(headers=headers | {"Idempotency-Key": "order-7"})
    assert (fields["from_"], fields["reply_to"]) == ("a@shop.example", "b@shop.example")
    assert fields["headers"] == {"X-Order": "7", "List-Id": "<l.shop.example>"}
    assert fields["idempotency_key"] == "order-7"


def test_the_keys_of_a_message_with_bcc_only() -> None:
    """Each of its mails has a key of its own."""
    mails = map_message(EmailMessage("s", bcc=["a@x.org", "b@x.org"], headers={"Idempotency-Key": "news"}))
    assert [mail["idempotency_key"] for mail in mails] == ["news", "news#1"]


def test_a_reply_to_address() -> None:
    """One address is taken as it is."""
    assert _map(reply_to=["Help <help@shop.example>"])["reply_to"] == "Help <help@shop.example>"


def test_fields_that_are_set_after_the_constructor() -> None:
    """A message is sent as its fields are at last."""
    message = EmailMultiAlternatives("old", "old", "old@shop.example", ["old@x.org"], headers={"X-Order": "1"})
    message.subject, message.body, message.from_email = "new", "Text", "new@shop.example"
    message.to, message.cc, message.bcc = ["a@x.org"], ["b@x.org"], ["c@x.org"]
    message.reply_to, message.extra_headers = ["", "d@x.org"], {"X-Order": "2"}
    message.attachments = [EmailAttachment("a.txt", "a", "text/plain")]
    (mail,) = map_message(message)
    (file,) = mail.pop("attachments")
    assert (file.filename, file.content) == ("a.txt", b"a")
    assert {name: value for name, value in mail.items() if value} == {
        "to": "a@x.org", "cc": ["b@x.org"], "bcc": ["c@x.org"], "from_": "new@shop.example", "reply_to": "d@x.org",
        "headers": {"X-Order": "2"}, "content": {"subject": "new", "text": "Text"},
    }  # fmt: skip


def test_addresses_as_people_write_them() -> None:
    """Names with commas and other letters, and domains with other letters."""
    to = ['"Sürname, Firstname" <a@x.org>', "Tó Example <b@éxample.com>", '"c@other.org" <c@x.org>', lazystr("d@x.org")]
    (mail,) = map_message(EmailMessage("s", "b", '"Shop, Ä" <a@öäü.com>', (*to, None)))
    assert (mail["to"], mail["cc"]) == ("a@x.org", ["b@éxample.com", "c@x.org", "d@x.org"])
    assert mail["from_"] == '"Shop, Ä" <a@öäü.com>'


def _change(**attributes: Any) -> EmailMessage:
    message = EmailMultiAlternatives("s", "b", to=["ada@example.com"], attachments=[("a.txt", "a", "text/plain")])
    for name, value in attributes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("attributes", "sentence"),
    [
        ({"alternatives": [("<p>", "text/html"), ("<p>", "text/html")]}, "two HTML bodies"),
        ({"alternatives": [("<p>", "text/html")], "content_subtype": "html"}, "two HTML bodies"),
        ({"alternatives": [("BEGIN:", "text/calendar")]}, "alternative of type text/calendar"),
        ({"content_subtype": "markdown"}, "text/markdown"),
        ({"mixed_subtype": "signed"}, "multipart/signed"),
        ({"alternative_subtype": "related"}, "multipart/related"),
        ({"alternatives": [(b"\xff", "text/html")]}, "the HTML alternative is no text in utf-8"),
        ({"subject": ""}, "no subject"),
        ({"body": b"\xff"}, "the body is no text in utf-8"),
        ({"reply_to": ["a@x.org", "b@x.org"]}, "2 Reply-To addresses"),
        ({"extra_headers": {"Reply-To": "a@x.org, b@x.org"}}, "2 Reply-To addresses"),
        ({"to": ["a@x.org, b@x.org"]}, "must be one address"),
        *(({"extra_headers": {name: "x"}}, f"the header {name.lower()} cannot") for name in UNMAPPED_HEADERS),
        ({"extra_headers": {"Idempotency-Key": "k" * 251}}, "251 characters"),
        ({"attachments": [MIMEBase("multipart", "mixed")]}, "multipart/mixed"),
        ({"attachments": [("a.eml", Message(), "message/rfc822")]}, "attach text or bytes"),
        ({"attachments": [("a.eml", EmailMessage("s", "b"), "message/rfc822")]}, "attach text or bytes"),
        ({"attachments": [("a.eml", b"Subject: s", "message/rfc822")]}, "attachment 1 is a message"),
        ({"attachments": [MIMEMessage(Message())]}, "message/rfc822"),
        ({"attachments": [("a.txt", b"\xff", "text/plain")]}, "attachment 1 is no text"),
        ({"attachments": [("a.txt", "\ud800", "text/plain")]}, "attachment 1 is no text"),
    ],
)
def test_what_cannot_be_mapped_is_refused(attributes: Fields, sentence: str) -> None:
    """The sentence names the part of the message."""
    with pytest.raises(MailSendError, match=sentence):
        map_message(_change(**attributes))


@pytest.mark.parametrize(
    "attributes",
    [
        {"subject": "Hi\nBcc: eve@example.com"},
        {"from_email": "a@x.org\rBcc: eve@example.com"},
        {"to": ["a@x.org\nBcc: eve@example.com"]},
        {"reply_to": ["a@x.org\r\nBcc: eve@example.com"]},
        {"extra_headers": {"X-Order": "7\nBcc: eve@example.com"}},
        {"subject": lazystr("Hi\nBcc: eve@example.com")},
        {"cc": ["Eve\rBcc: <eve@example.com>"]},
        {"bcc": ["a@x.org\n"]},
        {"attachments": [("a.txt\nX: y", "a", "text/plain")]},
    ],
)
def test_a_line_break_in_a_header_is_an_error_of_django(attributes: Fields) -> None:
    """As with Django's own backends."""
    with pytest.raises(BadHeaderError):
        map_message(_change(**attributes))


@pytest.mark.parametrize("method", ["message", "recipients"])
def test_a_class_that_builds_its_mail_itself_is_refused(method: str) -> None:
    """It might encrypt the mail, or redirect it, which the fields do not show."""
    changed = type("Encrypted", (EmailMessage,), {method: lambda _: []})
    with pytest.raises(MailSendError, match=rf"Encrypted overrides {method}\(\)"):
        map_message(changed("s", "b", to=["ada@example.com"]))


@pytest.mark.parametrize("backend", [ApiBackend, ProducerBackend])
def test_options_of_a_backend(backend: Any) -> None:
    """Settings of SMTP mean nothing; in `MAILERS`, where a project chooses the options, an unknown one is refused."""
    assert backend(fail_silently=True, username="u", password="p", use_tls=True).fail_silently
    assert backend(alias="news", username="u", _ignore_unknown_kwargs={"username"}).alias == "news"
    with pytest.raises(ImproperlyConfigured, match=r"MAILERS\['news'\] has the option 'key'.* in NOTIFIER"):
        backend(alias="news", key="ntf_live_x")
