"""`find`: the mails to an address, and whether they arrived; and how commands find and show one mail."""

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli.api_access import pass_api, take_first
from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    format_time,
    parse_duration,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Event, Explanation, Notification, NotificationFilter

MAX_LISTED_MAILS = 1000
MAX_CANDIDATES = 10
PAGE_SIZE = 200
SHOWN_DIGITS = 18
"""Of an id in a list: the time of its making, and enough of the rest to tell mails of one moment apart."""
_WHOLE_ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE)
_ID_PREFIX = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,28}", re.IGNORECASE)
_RELATIVE = re.compile(r"\d+[smhdw]")


@pass_api(writes=False)
async def find_mails(
    notifier: "AsyncNotifier",
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The recipient, also in cc or bcc.")],
    since: Annotated[str, typer.Option(metavar="7d|DATE", help="Only mails of this time, or since this day.")] = "",
    status: Annotated[str, typer.Option(help="Only mails in this status, such as sent or failed.")] = "",
    template: Annotated[str, typer.Option(help="Only mails of this template.")] = "",
    service: Annotated[str, typer.Option(help="Only mails of this service.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=MAX_LISTED_MAILS, help="At most so many.")] = 20,
    last: Annotated[bool, typer.Option("--last", help="Show the newest one with all that happened to it.")] = False,
    as_json: Json = False,
) -> None:
    """Say whether the newest mail to an address arrived, and list the mails to it. Exit 1 if there is none."""
    filters: NotificationFilter = {
        "to": _check_address(address),
        "created_after": _parse_since(since) if since else None,
        "status": status or None,
        "template": template or None,
        "service": service or None,
        "copies": True,
        "limit": min(limit, PAGE_SIZE),
    }
    mails = await take_first(notifier.list(**filters), 1 if last else limit)
    if not mails:
        raise CommandError(f"there is no such mail to {address}")
    if last or (len(mails) == 1 and not as_json):
        await print_mail(notifier, mails[0].id, as_json=as_json)
        return
    if not as_json:
        explanation = await notifier.explain(mails[0].id)
        reply = f" ({strip_control_characters(mails[0].detail)})" if mails[0].detail else ""
        print(f"The newest, of {format_time(mails[0].created_at)}: {_format_answer(explanation)}{reply}\n")
    print_rows([_build_row(mail, whole_id=as_json) for mail in mails], as_json=as_json)


async def find_newest(notifier: "AsyncNotifier", address: str) -> "Notification":
    """Find the newest mail to an address. Raises `CommandError` if there is none."""
    mails = await take_first(notifier.list(to=_check_address(address), copies=True, limit=1), 1)
    if not mails:
        raise CommandError(f"there is no mail to {address}")
    return mails[0]


async def find_id(notifier: "AsyncNotifier", text: str) -> str:
    """Find the id that begins with these digits. Raises `CommandError` with the candidates if there are several."""
    if _WHOLE_ID.fullmatch(text):
        return text
    if not _ID_PREFIX.fullmatch(text):
        raise CommandError(f"{text!r} is not the id of a notification, nor its first 8 digits or more", USAGE_ERROR)
    mails = await take_first(notifier.list(id_prefix=text, copies=True, limit=MAX_CANDIDATES), MAX_CANDIDATES)
    if len(mails) == 1:
        return mails[0].id
    if not mails:
        raise CommandError("there is no such notification")
    candidates = ", ".join(f"{mail.id} ({strip_control_characters(mail.to)})" for mail in mails)
    raise CommandError(f"{len(mails)} notifications or more begin with {text}: {candidates}", USAGE_ERROR)


async def print_mail(notifier: "AsyncNotifier", id_: str, *, as_json: bool) -> None:
    """Print one mail: the answer, what to do, its state, and everything that happened to it."""
    mail, explanation, events = await notifier.get(id_), await notifier.explain(id_), await notifier.events(id_)
    if as_json:
        answer = explanation.answer.raw if explanation.answer else None
        whole = {**mail.raw, "answer": answer, "because": explanation.raw.get("because")}
        print(json.dumps(whole | {"events": [event.raw for event in events]}))
        return
    what = f"{mail.template} v{mail.template_version}" if mail.template else "without a template"
    print(f"{mail.id}  {what}  to {strip_control_characters(mail.to)}\n")
    print(f"answer    {_format_answer(explanation)}")
    if explanation.answer and explanation.answer.next_step:
        print(f"advice    {strip_control_characters(explanation.answer.next_step)}")
    print(f"status    {mail.status}" + (f" ({mail.reason})" if mail.reason else ""))
    print(f"why       {strip_control_characters(mail.detail or '-')}")
    print(f"service   {mail.service or '-'}")
    if mail.uncertain_at is not None:
        print(f"unsure    since {format_time(mail.uncertain_at)}: a relay may have taken it without saying so")
    for cause in explanation.because if explanation.waiting else ():
        until = f" (until {format_time(cause.until)})" if cause.until else ""
        print(f"waits     {strip_control_characters(cause.detail or cause.code)}{until}")
    if not explanation.waiting:
        kept = f"kept until {format_time(mail.content_until)}" if mail.content_until else "erased, or kept for a copy"
        print(f"content   {kept}")
    print(f"what now  {_describe_next_step(mail, explanation)}\n")
    for event in events:
        print(_format_event(event))


def _format_answer(explanation: "Explanation") -> str:
    """Format whether a mail arrived, with a sentence."""
    from notifier.lookup.answer_table import LABELS, AnswerKind

    answer = explanation.answer
    if answer is None:
        return explanation.status
    label = LABELS[AnswerKind(answer.kind)] if answer.kind in tuple(AnswerKind) else answer.kind
    return f"{label}. {strip_control_characters(answer.sentence or '')}"


def _describe_next_step(mail: "Notification", explanation: "Explanation") -> str:
    """Describe what happens next, and the command with which a person acts."""
    until = format_time(mail.expires_at)
    if mail.held:
        return f"waits for a person until {until}: notifier resolve {mail.id} --as sent|failed|resend"
    if explanation.waiting and mail.next_attempt_at is not None:
        return f"is due at {format_time(mail.next_attempt_at)}; given up after {until}"
    if explanation.waiting:
        return "a sender is working on it"
    if mail.status in {"failed", "expired"}:
        return f"nothing; to send it again: notifier retry {mail.id}"
    if mail.status == "unknown":
        return f"nothing; to decide: notifier resolve {mail.id} --as sent|failed|resend"
    return "nothing: it has ended"


def _format_event(event: "Event") -> str:
    parts = [format_time(event.at), event.kind.ljust(9)]
    attempt = event.attempt
    if attempt is not None:
        duration = f" in {attempt.duration_ms} ms" if attempt.duration_ms is not None else ""
        parts.append(f"{attempt.number}, {attempt.relay or 'the sender died'}{duration}, {attempt.phase}:")
        parts += [f"({attempt.meaning})"] if attempt.meaning else []
    parts += [strip_control_characters(event.detail)] if event.detail else []
    actor = event.actor_name or event.actor
    parts += [f"(by {strip_control_characters(actor)})"] if actor else []
    return "  ".join(parts)


def _check_address(text: str) -> str:
    if "@" not in text:
        raise CommandError(f"{text!r} is no address", USAGE_ERROR)
    return replace_surrogates(text)


def _parse_since(text: str) -> datetime:
    if _RELATIVE.fullmatch(text):
        return datetime.now(UTC) - parse_duration(text, "--since")
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        detail = "a duration such as 7d, a day such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z"
        raise CommandError(f"--since: {detail}", USAGE_ERROR) from error
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def _build_row(mail: "Notification", *, whole_id: bool) -> dict[str, str]:
    return {
        "time": format_time(mail.created_at),
        "status": mail.status,
        "reason": mail.reason or "-",
        "template": mail.template or "-",
        "service": mail.service or "-",
        "id": mail.id if whole_id else mail.id[:SHOWN_DIGITS],
    }
