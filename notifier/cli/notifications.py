"""`show`, `unknown`, `cancel`, `retry` and `resolve`: an operator examines notifications and decides about them."""

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    build_actor,
    format_time,
    open_for_reading,
    open_for_writing,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)
from notifier.states import Reason, Resolution

if TYPE_CHECKING:
    from notifier.lookup.notification_view import NotificationView, TimelineItem

MAX_LISTED = 1000
Id = Annotated[str, typer.Argument(metavar="ID", help="The notification's id.")]
Comment = Annotated[str, typer.Option(help="Why; kept in the timeline.")]


async def show_notification(id_: Id, as_json: Json = False) -> None:
    """Show a notification: whether it arrived, why, what to do now, and everything that happened to it."""
    from notifier.api.notifications import models
    from notifier.email_address import RecipientPolicy
    from notifier.lookup import notification_view
    from notifier.lookup.actor_names import get_actor_names
    from notifier.lookup.answer import build_answer
    from notifier.lookup.answer_table import LABELS
    from notifier.lookup.wait_explanation import explain_notification
    from notifier.retention import content_expiry
    from notifier.retention.retention_policy import RetentionPolicy

    notification_id = _parse_id(id_)
    async with open_for_reading() as parts:
        now, recipients = (
            parts.clock.now(),
            RecipientPolicy.from_settings(parts.settings.recipients, parts.settings.smtp),
        )
        async with parts.database.read() as connection:
            explanation = await explain_notification(connection, None, notification_id, recipients, now)
            items = await notification_view.get_timeline(connection, explanation.view)
            names = await get_actor_names(connection, (item.actor for item in items))
            policy = RetentionPolicy.from_settings(parts.settings.retention, parts.settings.api)
            until = await content_expiry.get_content_expiry(connection, notification_id, policy)
    view = explanation.view
    answer = build_answer(view, now=now, causes=explanation.causes)
    if as_json:
        notification = models.build_notification_reply(view, now, until) | {
            "answer": vars(answer),
            "events": [models.build_event_reply(item, names) for item in items],
        }
        print(json.dumps(notification, default=_format_json))
        return
    status = models.get_shown_status(view.status, view.send_at, now)
    print(f"{view.id}  {view.template} v{view.template_version}  to {strip_control_characters(view.recipient)}\n")
    print(f"answer    {LABELS[answer.kind]}. {strip_control_characters(answer.sentence)}")
    print(f"advice    {strip_control_characters(answer.next_step)}")
    print(f"status    {status}" + (f" ({view.reason})" if view.reason else ""))
    print(f"why       {strip_control_characters(view.detail or '-')}")
    if view.uncertain_at is not None:
        print(f"unsure    since {format_time(view.uncertain_at)}: a relay may have taken it without saying so")
    if view.entry_state is None:
        print(f"content   {f'kept until {format_time(until)}' if until is not None else 'erased, or kept for a copy'}")
    print(f"what now  {_describe_next_step(view)}\n")
    for item in items:
        print(_format_item(item, names))


def _describe_next_step(view: "NotificationView") -> str:
    """Describe what happens next, and what a person can do."""
    from notifier.states import WAITING_STATUSES, EntryState, Status

    until = format_time(view.expires_at)
    if view.entry_state is EntryState.HELD:
        return f"waits for a person until {until}: notifier resolve {view.id} --as sent|failed|resend"
    if view.entry_state is EntryState.LEASED:
        return "a sender is working on it"
    if view.due_at is not None and view.status in WAITING_STATUSES:
        return f"is due at {format_time(view.due_at)}; given up after {until}"
    if view.status in (Status.FAILED, Status.EXPIRED):
        return f"nothing; to send it again: notifier retry {view.id}"
    if view.status is Status.UNKNOWN:
        return f"nothing; to decide: notifier resolve {view.id} --as sent|failed|resend"
    return "nothing: it has ended"


def _format_item(item: "TimelineItem", names: "Mapping[str, str]") -> str:
    parts = [format_time(item.at), item.kind.ljust(9)]
    if item.attempt is not None:
        duration = f" in {item.attempt.duration_ms} ms" if item.attempt.duration_ms is not None else ""
        parts.append(
            f"{item.attempt.number}, {item.attempt.relay or 'the sender died'}{duration}, {item.attempt.phase}:"
        )
        parts += [f"({item.attempt.meaning})"] if item.attempt.meaning else []
    parts += [strip_control_characters(item.detail)] if item.detail else []
    parts += [f"(by {strip_control_characters(names[item.actor])})"] if item.actor else []
    return "  ".join(parts)


async def list_unknown(as_json: Json = False) -> None:
    """List notifications that wait for a person, because no one knows whether the relay took them; oldest first."""
    from notifier.lookup import notification_view

    async with open_for_reading() as parts, parts.database.read() as connection:
        views = await notification_view.list_held_unknown(connection, limit=MAX_LISTED)
    rows = [
        {
            "id": str(view.id),
            "to": strip_control_characters(view.recipient),
            "template": view.template,
            "since": format_time(view.uncertain_at),
            "until": format_time(view.expires_at),
            "reason": view.reason,
        }
        for view in views
    ]
    print_rows(rows, as_json=as_json)


async def cancel_notification(id_: Id, comment: Comment = "") -> None:
    """Stop a mail before it is sent. Exit 1 if it may be on its way, or has ended."""
    from notifier.status import notification_actions

    await _change_notification(id_, comment, notification_actions.cancel_notification)


async def retry_notifications(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="The notification's id.")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Instead of an ID: all that failed for this reason.")] = None,
    comment: Comment = "",
) -> None:
    """Send a failed or expired mail again, with the same bytes; or all mails that failed for a reason."""
    from notifier.status import notification_actions

    if (id_ is None) == (reason is None):
        raise CommandError("give the ID of a notification, or --reason for all that failed for it", USAGE_ERROR)
    if id_ is not None:
        await _change_notification(id_, comment, notification_actions.retry_notification)
    elif reason is not None:
        await _retry_failed(reason, comment)


async def _retry_failed(reason: Reason, comment: str) -> None:
    """Retry what failed for this reason, in the order of acceptance; what changes meanwhile is left out."""
    from notifier.errors import NotFoundError
    from notifier.status import notification_actions

    comment = _check_comment(comment)
    async with open_for_writing() as parts:
        started, last, retried = parts.clock.now(), UUID(int=0), 0
        while True:
            async with parts.database.write() as connection:
                ids = await notification_actions.list_failed_ids(connection, reason, after=last, until=started)
                for id_ in ids:
                    with suppress(notification_actions.NotPossibleError, NotFoundError):
                        async with connection.begin_nested():
                            await notification_actions.retry_notification(
                                connection, id_, actor=build_actor(started), rights=None, comment=comment
                            )
                        retried += 1
            if not ids:
                break
            last = ids[-1]
    print(f"retried {retried}")


async def resolve_notification(
    id_: Id,
    how: Annotated[Resolution, typer.Option("--as", help="It was sent, it failed, or send it again.")],
    comment: Comment = "",
) -> None:
    """Decide about a mail when no one knows whether the relay took it."""
    from notifier.status import notification_actions

    await _change_notification(id_, comment, partial(notification_actions.resolve_notification, resolution=how))


async def _change_notification(id_: str, comment: str, change: Callable[..., Awaitable[None]]) -> None:
    from notifier.lookup import notification_view

    notification_id, comment = _parse_id(id_), _check_comment(comment)
    async with open_for_writing() as parts, parts.database.write() as connection:
        await change(connection, notification_id, actor=build_actor(parts.clock.now()), rights=None, comment=comment)
        view = await notification_view.get_notification(connection, None, notification_id)
    print(view.status)


def _check_comment(comment: str) -> str:
    from notifier.status import notification_actions

    return replace_surrogates(comment, "--comment", notification_actions.MAX_COMMENT_LENGTH)


def _parse_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is not the id of a notification", USAGE_ERROR) from error


def _format_json(value: object) -> str:
    """Format a value as the API does."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
