"""`show`, `unknown`, `cancel`, `retry` and `resolve`: an operator examines notifications and decides about them."""

import getpass
import json
import os
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli import output
from notifier.cli.database_access import open_for_writing
from notifier.cli.options import Json
from notifier.cli.output import CommandError
from notifier.states import Reason, Resolution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.audit import Actor
    from notifier.lookup.notification_view import NotificationView, TimelineItem

MAX_LISTED = 1000
Id = Annotated[str, typer.Argument(metavar="ID", help="The notification's id.")]
Comment = Annotated[str, typer.Option(help="Why; kept in the timeline.")]


def register_notification_commands(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("show")(show_notification)
    app.command("unknown")(list_unknown)
    app.command("cancel")(cancel_notification)
    app.command("retry")(retry_notifications)
    app.command("resolve")(resolve_notification)


# -- reading -------------------------------------------------------------------------------------


def show_notification(id_: Id, as_json: Json = False) -> None:
    """Show a notification: its status, the reason, and everything that happened to it."""
    output.run_command(_show_notification(id_, as_json=as_json))


async def _show_notification(id_: str, *, as_json: bool) -> None:
    from notifier.api.notifications import models
    from notifier.lookup import notification_view
    from notifier.runtime import process_parts

    notification_id = _parse_id(id_)
    async with process_parts.open_process_parts(output.load_settings()) as parts:
        async with parts.database.read() as connection:
            view = await notification_view.get_notification(connection, None, notification_id)
            items = await notification_view.get_timeline(connection, None, notification_id)
        now = parts.clock.now()
    if as_json:
        notification = models.build_notification_reply(view, now) | {
            "events": [models.build_event_reply(item) for item in items]
        }
        print(json.dumps(notification, default=_format_json))
        return
    status = models.get_shown_status(view.status, view.send_at, now)
    print(f"{view.id}  {view.template} v{view.template_version}  to {strip_control_characters(view.recipient)}\n")
    print(f"status    {status}" + (f" ({view.reason})" if view.reason else ""))
    print(f"why       {strip_control_characters(view.detail or '-')}")
    if view.uncertain_at is not None:
        print(f"unsure    since {format_time(view.uncertain_at)}: a relay may have taken it without saying so")
    print(f"what now  {_describe_next_step(view)}\n")
    for item in items:
        print(_format_item(item))


def _describe_next_step(view: "NotificationView") -> str:
    """What happens next, and what a person can do."""
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


def _format_item(item: "TimelineItem") -> str:
    parts = [format_time(item.at), item.kind.ljust(9)]
    if item.attempt is not None:
        duration = f" in {item.attempt.duration_ms} ms" if item.attempt.duration_ms is not None else ""
        parts.append(
            f"{item.attempt.number}, {item.attempt.relay or 'the sender died'}{duration}, {item.attempt.phase}:"
        )
    parts += [strip_control_characters(item.detail)] if item.detail else []
    parts += [f"(by {item.actor})"] if item.actor else []
    return "  ".join(parts)


def list_unknown(as_json: Json = False) -> None:
    """List notifications that wait for a person, because no one knows whether the relay took them; oldest first."""
    output.run_command(_list_unknown(as_json=as_json))


async def _list_unknown(*, as_json: bool) -> None:
    from notifier.lookup import notification_view
    from notifier.runtime import process_parts

    async with process_parts.open_process_parts(output.load_settings()) as parts, parts.database.read() as connection:
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
    output.print_rows(rows, as_json=as_json)


# -- deciding ------------------------------------------------------------------------------------


def cancel_notification(id_: Id, comment: Comment = "") -> None:
    """Stop a mail before it is sent. Exit 1 if it may be on its way, or has ended."""
    from notifier.status import notification_actions

    output.run_command(_run_operation(id_, comment, notification_actions.cancel_notification))


def retry_notifications(
    id_: Annotated[str | None, typer.Argument(metavar="[ID]", help="The notification's id.")] = None,
    reason: Annotated[Reason | None, typer.Option(help="Instead of an ID: all that failed for this reason.")] = None,
    comment: Comment = "",
) -> None:
    """Send a failed or expired mail again, with the same bytes; or all mails that failed for a reason."""
    from notifier.status import notification_actions

    if (id_ is None) == (reason is None):
        raise CommandError("give the ID of a notification, or --reason for all that failed for it", output.USAGE_ERROR)
    if id_ is not None:
        output.run_command(_run_operation(id_, comment, notification_actions.retry_notification))
    elif reason is not None:
        output.run_command(_retry_failed(reason, comment))


async def _retry_failed(reason: Reason, comment: str) -> None:
    """Retry them in the order of acceptance; those that change meanwhile are left out."""
    from uuid import UUID

    from notifier.errors import NotFoundError
    from notifier.status import notification_actions

    words = _check_comment(comment)
    async with open_for_writing() as parts:
        started, last, retried = parts.clock.now(), UUID(int=0), 0
        while True:
            async with parts.database.write() as connection:
                ids = await notification_actions.list_failed_ids(connection, reason, after=last, until=started)
                for id_ in ids:
                    with suppress(notification_actions.NotPossibleError, NotFoundError):
                        async with connection.begin_nested():
                            await notification_actions.retry_notification(
                                connection, id_, actor=_build_actor(started), rights=None, comment=words
                            )
                        retried += 1
            if not ids:
                break
            last = ids[-1]
    print(f"retried {retried}")


def resolve_notification(
    id_: Id,
    how: Annotated[Resolution, typer.Option("--as", help="It was sent, it failed, or send it again.")],
    comment: Comment = "",
) -> None:
    """Decide about a mail when no one knows whether the relay took it."""
    from notifier.status import notification_actions

    async def operation(connection: "AsyncConnection", id_: "UUID", **details: Any) -> None:
        await notification_actions.resolve_notification(connection, id_, how, **details)

    output.run_command(_run_operation(id_, comment, operation))


async def _run_operation(id_: str, comment: str, operation: "Callable[..., Awaitable[None]]") -> None:
    from notifier.lookup import notification_view

    notification_id, words = _parse_id(id_), _check_comment(comment)
    async with open_for_writing() as parts, parts.database.write() as connection:
        await operation(connection, notification_id, actor=_build_actor(parts.clock.now()), rights=None, comment=words)
        view = await notification_view.get_notification(connection, None, notification_id)
    print(view.status)


def _build_actor(at: datetime) -> "Actor":
    """The person at this terminal."""
    from notifier.audit import Actor

    return Actor(name=get_operator_name(), at=at)


def _check_comment(comment: str) -> str:
    from notifier.status import notification_actions

    words = comment.encode(errors="replace").decode()
    if len(words) > notification_actions.MAX_COMMENT_LENGTH:
        raise CommandError(
            f"--comment: at most {notification_actions.MAX_COMMENT_LENGTH} characters", output.USAGE_ERROR
        )
    return words


def get_operator_name() -> str:
    """The operator's name: the user of this terminal."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # in a container the user id may have no name
        name = str(os.getuid())
    return f"operator:{name}"[:64]


def _parse_id(text: str) -> "UUID":
    from uuid import UUID

    try:
        return UUID(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is not the id of a notification", output.USAGE_ERROR) from error


def strip_control_characters(words: str) -> str:
    """Replace control characters, which a terminal would obey: the text comes from relays and callers."""
    return "".join(character if character.isprintable() else " " for character in words)


def format_time(value: datetime | None) -> str:
    """Format a time for the terminal."""
    return value.isoformat(timespec="seconds").replace("+00:00", "Z") if value is not None else "-"


def _format_json(value: object) -> str:
    """Format a value as the API does."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)
