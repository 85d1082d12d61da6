"""Maps a Django message to the fields of notifications.

What a notification cannot have is refused with `MailSendError`. Nothing is sent or written here.
"""

import mimetypes
from collections.abc import Iterable, Iterator, Mapping
from email.message import Message
from email.utils import getaddresses
from typing import Any

from django.conf import global_settings, settings
from django.core.mail import EmailMessage
from django.core.mail import message as django_message
from django.utils.encoding import force_str

from notifier.client.django.errors import MailSendError
from notifier.client.request_fields import Attachment, BatchItem, MailContent
from notifier.header_names import STANDARD_HEADERS

HTML = "text/html"
MIXED_SUBTYPES = ("mixed", "related")
HeaderError: type[ValueError] = getattr(django_message, "BadHeaderError", ValueError)
"""Django's error for a line break in a header; from Django 6 on it is `ValueError`, under a name that will end."""
_BUILDING_METHODS = ("message", "recipients")
_UNSET_SENDERS = (global_settings.DEFAULT_FROM_EMAIL, global_settings.SERVER_EMAIL)
"""Django's defaults at localhost, from which no mail can come."""
MAX_KEY_LENGTH = 250  # leaves room for the number of a mail


def map_message(message: EmailMessage) -> list[BatchItem]:
    """Map a message to one notification, or, if it has only bcc, to one for each address; to none without recipients.

    Raises `MailSendError`, and Django's `BadHeaderError` for a line break in a header.
    """
    _check_class(message)
    if not (mails := _assign_recipients(message)):
        return []
    headers = _read_headers(message.extra_headers)
    key = headers.pop("idempotency-key", None)
    fields: BatchItem = {
        "from_": _choose_sender(headers.pop("from", None), message.from_email),
        "reply_to": _choose_reply_to(headers.pop("reply-to", None), message.reply_to),
        "content": _build_content(message),
        "attachments": [*_map_attachments(message)],
        "headers": _check_headers(headers, message.extra_headers),
    }
    return [fields | mail | {"idempotency_key": _number_key(key, index)} for index, mail in enumerate(mails)]


def _check_class(message: EmailMessage) -> None:
    """Refuse a class that builds the mail itself, because its fields may not be what it would send, or to whom."""
    for name in _BUILDING_METHODS:
        if getattr(type(message), name) is not getattr(EmailMessage, name):
            raise MailSendError(
                f"{type(message).__name__} overrides {name}(): Notifier builds the mail from the message's fields, "
                "so set these instead"
            )


def _read_headers(headers: Mapping[str, Any]) -> dict[str, str]:
    """The headers as text, with names in lower case."""
    return {name.lower(): _check_line(name, value) for name, value in headers.items()}


def _check_line(name: str, value: Any) -> str:
    text = str(value)  # it may be lazy
    if "\n" in text or "\r" in text:
        raise HeaderError(f"Header values can't contain newlines (header {name!r})")
    return text


def _check_headers(headers: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, str]:
    """The custom headers under their own names. The API checks them once more, by the operator's list."""
    for name in headers:
        if not name.startswith("x-") and name not in STANDARD_HEADERS:
            raise MailSendError(
                f"the header {name} cannot be set: Notifier takes {', '.join(sorted(STANDARD_HEADERS))}, "
                "and X-… headers that its operator allows"
            )
    return {name: headers[name.lower()] for name in given if name.lower() in headers}


def _choose_sender(header: str | None, from_email: Any) -> str | None:
    """The sender; None, which means the service's own, if the project has never named one."""
    sender = header or _check_line("From", from_email)
    return None if sender in _UNSET_SENDERS else sender


def _choose_reply_to(header: str | None, reply_to: Iterable[Any]) -> str | None:
    texts = [header] if header else [_check_line("Reply-To", address) for address in reply_to if address]
    if (count := len(getaddresses(texts))) > 1:
        raise MailSendError(f"the message has {count} Reply-To addresses: Notifier takes one")
    return texts[0] if texts else None


def _build_content(message: EmailMessage) -> MailContent:
    """The subject, the text, and the HTML of the body or of the one alternative."""
    if message.content_subtype not in {"plain", "html"}:
        raise MailSendError(f"the body is text/{message.content_subtype}: Notifier takes plain text and HTML")
    if (subtype := getattr(message, "alternative_subtype", "alternative")) != "alternative":  # Django 6 has none
        raise MailSendError(f"the bodies are multipart/{subtype}: Notifier builds multipart/alternative")
    charset = message.encoding if isinstance(message.encoding, str) else settings.DEFAULT_CHARSET
    parts = [("html" if message.content_subtype == "html" else "text", _read_text(message.body, charset, "the body"))]
    for content, mimetype in getattr(message, "alternatives", None) or ():
        if str(mimetype).partition(";")[0].strip().lower() != HTML:
            raise MailSendError(f"the message has an alternative of type {mimetype}: Notifier takes text/html only")
        parts.append(("html", _read_text(content, "utf-8", "the HTML alternative")))
    if [name for name, _ in parts].count("html") > 1:
        raise MailSendError("the message has two HTML bodies: Notifier takes one")
    texts = {name: text for name, text in parts if text} or {parts[0][0]: "\n"}  # the API takes no empty body
    content = MailContent(subject=_check_line("Subject", message.subject))
    if not content["subject"]:
        raise MailSendError("the message has no subject: Notifier sends none without one")
    if "html" in texts:
        content["html"] = texts["html"]
    if "text" in texts:
        content["text"] = texts["text"]
    return content


def _read_text(value: Any, charset: str, place: str) -> str:
    """The value as text, which may be lazy, bytes or None."""
    try:
        return str(force_str(value or "", charset))
    except (LookupError, UnicodeDecodeError) as error:
        raise MailSendError(f"{place} is no text in {charset}") from error


def _assign_recipients(message: EmailMessage) -> list[BatchItem]:
    """Make the first visible address `to` and the other visible ones `cc`; a repeated address is left out."""
    seen: set[str] = set()
    to, cc, bcc = ([*_parse_addresses(group, seen)] for group in (message.to, message.cc, message.bcc))
    visible = [*to, *cc]
    if not visible:
        return [{"to": address} for address in bcc]
    return [{"to": visible[0], "cc": visible[1:], "bcc": bcc}]


def _parse_addresses(group: Iterable[Any], seen: set[str]) -> Iterator[str]:
    """The addresses of one field, without their names, that were not seen before."""
    for text in group:
        if not text:
            continue
        pairs = getaddresses([_check_line("To", text)])
        if len(pairs) != 1 or not pairs[0][1]:
            raise MailSendError("each item of to, cc and bcc must be one address")
        address = pairs[0][1]
        if address.lower() not in seen:
            seen.add(address.lower())
            yield address


def _number_key(key: str | None, index: int) -> str | None:
    """The idempotency key of one mail of the message."""
    if key is not None and len(key) > MAX_KEY_LENGTH:
        raise MailSendError(f"the Idempotency-Key has {len(key)} characters; the maximum is {MAX_KEY_LENGTH}")
    return key if key is None or index == 0 else f"{key}#{index}"


def _map_attachments(message: EmailMessage) -> Iterator[Attachment]:
    subtype = getattr(message, "mixed_subtype", "mixed")  # Django 6 has no such attribute
    if message.attachments and subtype not in MIXED_SUBTYPES:
        raise MailSendError(f"the message is multipart/{subtype}: Notifier builds multipart/mixed")
    for number, attachment in enumerate(message.attachments, 1):
        yield _map_part(attachment, number) if isinstance(attachment, Message) else _map_file(attachment, number)


def _map_file(attachment: Any, number: int) -> Attachment:
    """Map a filename, a content and perhaps a type."""
    filename, content, *rest = attachment
    content_type = (rest[0] if rest else None) or mimetypes.guess_type(filename or "")[0] or "application/octet-stream"
    if not isinstance(content, str | bytes | bytearray | memoryview):
        raise MailSendError(f"attachment {number} is a {type(content).__name__}: attach text or bytes")
    if content_type.lower().startswith("message/"):
        raise MailSendError(f"attachment {number} is a message ({content_type}): Notifier attaches files only")
    try:
        data = content.encode() if isinstance(content, str) else bytes(content)
        if content_type.lower().startswith("text/"):
            data.decode()
    except UnicodeError as error:
        raise MailSendError(f"attachment {number} is no text in utf-8") from error
    return Attachment(filename=_choose_name(filename, content_type, number), content=data, content_type=content_type)


def _map_part(part: Message, number: int) -> Attachment:
    """Map a MIME part; one with a Content-ID is an inline image."""
    content_type = part.get_content_type()
    data = part.get_payload(decode=True)
    if part.is_multipart() or not isinstance(data, bytes):
        raise MailSendError(f"attachment {number} is {content_type}: Notifier takes parts with a content only")
    if part.get_content_maintype() == "text":
        data = _read_text(data, part.get_content_charset("utf-8"), f"attachment {number}").encode()
    if isinstance(method := part.get_param("method"), str):
        content_type = f"{content_type}; method={method}"
    content_id = str(part["Content-ID"] or "").strip().removeprefix("<").removesuffix(">") or None
    filename = _choose_name(part.get_filename(), content_type, number)
    return Attachment(filename=filename, content=data, content_type=content_type, content_id=content_id)


def _choose_name(filename: str | None, content_type: str, number: int) -> str:
    """The filename, or one that fits the type, because Notifier has no attachment without one."""
    extension = mimetypes.guess_extension(content_type.partition(";")[0].strip()) or ""
    return _check_line("filename", filename) if filename else f"attachment-{number}{extension}"
