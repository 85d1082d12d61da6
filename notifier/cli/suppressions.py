"""`suppressions`: an operator lists, adds and lifts suppressions of any service or of the instance."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.database_access import open_for_writing
from notifier.cli.notifications import format_time, get_operator_name, strip_control_characters
from notifier.cli.options import Json
from notifier.cli.output import CommandError
from notifier.states import SuppressionReason, SuppressionScope

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.suppression import SuppressionView

MAX_LISTED = 1000
Address = Annotated[str, typer.Argument(metavar="ADDRESS")]
Service = Annotated[str, typer.Option(help="The service that owns it; default: the instance, for all services.")]


def register_suppression_commands(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Addresses that are not mailed.", no_args_is_help=True)
    group.command("list")(list_suppressions)
    group.command("add")(add_suppression)
    group.command("lift")(lift_suppressions)
    app.add_typer(group, name="suppressions")


def list_suppressions(
    service: Service = "",
    address: Annotated[str, typer.Option(help="Only this one.")] = "",
    include_expired: Annotated[bool, typer.Option(help="Also list those that have expired.")] = False,
    doubtful: Annotated[
        bool,
        typer.Option(
            help="Only those added for a relay's reply that today's rules would not suppress for; all of them."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """The instance's suppressions, or a service's, newest first; at most a thousand."""
    if doubtful:
        output.run_command(_list_doubtful(as_json=as_json))
        return
    output.run_command(_list_owned(service, address, include_expired=include_expired, as_json=as_json))


async def _list_owned(service: str, address: str, *, include_expired: bool, as_json: bool) -> None:
    from notifier import suppression
    from notifier.runtime import process_parts

    async with process_parts.open_process_parts(output.load_settings()) as parts, parts.database.read() as connection:
        query = suppression.SuppressionFilter(
            address=_parse_address_key(address) if address else None,
            lasting_after=None if include_expired else parts.clock.now(),
        )
        views = await suppression.list_owned_suppressions(
            connection, await _find_owner(connection, service), query, limit=MAX_LISTED
        )
    output.print_rows([_build_row(view) for view in views], as_json=as_json)


async def _list_doubtful(*, as_json: bool) -> None:
    from notifier import suppression
    from notifier.db.tables import INSTANCE
    from notifier.runtime import process_parts
    from notifier.smtp.reply_meaning import is_doubtful

    query = suppression.SuppressionFilter(reason=SuppressionReason.RECIPIENT_REFUSED)
    rows, before = [], None
    async with process_parts.open_process_parts(output.load_settings()) as parts, parts.database.read() as connection:
        while page := await suppression.list_owned_suppressions(
            connection, INSTANCE, query, limit=MAX_LISTED, before=before
        ):
            by_senders = [view for view in page if view.created_by == suppression.SENDER_ACTOR]
            rows += [_build_row(view) for view in by_senders if is_doubtful(view.detail, view.address)]
            before = page[-1].id
    output.print_rows(rows, as_json=as_json)


def add_suppression(
    address: Address,
    service: Service = "",
    scope: Annotated[SuppressionScope, typer.Option(help="Which mail is stopped.")] = SuppressionScope.ALL,
    reason: Annotated[SuppressionReason, typer.Option(help="Why.")] = SuppressionReason.REQUESTED,
    detail: Annotated[str, typer.Option(help="A comment on the reason; the services see it.")] = "",
    expires_at: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"], help="In UTC; default: never.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Stop mail to an address. An existing suppression keeps its reason, and the later end."""
    words = detail.encode(errors="replace").decode()
    until = expires_at.replace(tzinfo=UTC) if expires_at else None
    output.run_command(_add_suppression(address, service, (scope, reason, words, until), as_json=as_json))


async def _add_suppression(
    address: str,
    service: str,
    details: tuple[SuppressionScope, SuppressionReason, str, datetime | None],
    *,
    as_json: bool,
) -> None:
    from notifier import audit, suppression

    scope, reason, detail, expires_at = details
    key = _parse_address_key(address)
    if len(detail) > suppression.MAX_DETAIL_LENGTH:
        raise CommandError(f"--detail: at most {suppression.MAX_DETAIL_LENGTH} characters", output.USAGE_ERROR)
    async with open_for_writing() as parts, parts.database.write() as connection:
        doer = audit.Actor(name=get_operator_name(), at=parts.clock.now())
        if expires_at is not None and expires_at <= doer.at:
            raise CommandError("--expires-at: it must be in the future", output.USAGE_ERROR)
        wish = suppression.NewSuppression(
            address=key,
            service_id=await _find_owner(connection, service),
            scope=scope,
            reason=reason,
            detail=detail,
            created_by=doer.name,
            expires_at=expires_at,
        )
        _, view = await suppression.add_suppression(connection, wish, actor=doer)
    output.print_rows([_build_row(view)], as_json=as_json)


def lift_suppressions(
    which: Annotated[str, typer.Argument(metavar="ID|ADDRESS", help="One suppression, or all of an address.")],
    service: Service = "",
    comment: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    as_json: Json = False,
) -> None:
    """Allow mail to an address again, from the next submit on. Exit 1 if there is nothing to lift."""
    output.run_command(_lift_suppressions(which, service, comment.encode(errors="replace").decode(), as_json=as_json))


async def _lift_suppressions(which: str, service: str, comment: str, *, as_json: bool) -> None:
    from notifier import audit, suppression

    if len(comment) > suppression.MAX_DETAIL_LENGTH:
        raise CommandError(f"--comment: at most {suppression.MAX_DETAIL_LENGTH} characters", output.USAGE_ERROR)
    async with open_for_writing() as parts, parts.database.write() as connection:
        doer = audit.Actor(name=get_operator_name(), at=parts.clock.now())
        ids = await _list_matching(connection, which, service)
        lifted = [await suppression.lift_suppression(connection, None, id_, actor=doer, comment=comment) for id_ in ids]
    output.print_rows([_build_row(view) for view in lifted], as_json=as_json)


async def _list_matching(connection: "AsyncConnection", which: str, service: str) -> "list[UUID]":
    """The suppressions with this id or address."""
    from uuid import UUID

    from notifier import suppression

    if "@" not in which:
        try:
            return [UUID(which)]
        except ValueError as error:
            raise CommandError(f"{which!r} is neither an id nor an address", output.USAGE_ERROR) from error
    query = suppression.SuppressionFilter(address=_parse_address_key(which))
    views = await suppression.list_owned_suppressions(
        connection, await _find_owner(connection, service), query, limit=MAX_LISTED
    )
    if not views:
        raise CommandError(f"{service or 'the instance'} has no suppression of {which}")
    return [view.id for view in views]


async def _find_owner(connection: "AsyncConnection", service: str) -> "UUID":
    from notifier.auth import service_admin
    from notifier.db.tables import INSTANCE

    return await service_admin.find_service(connection, service) if service else INSTANCE


def _parse_address_key(text: str) -> str:
    from notifier import email_address

    try:
        return email_address.get_address_key(email_address.normalise_address(text))
    except email_address.InvalidAddressError as error:
        raise CommandError(f"{text!r}: {error}", output.USAGE_ERROR) from error


def _build_row(view: "SuppressionView") -> dict[str, str]:
    return {
        "id": str(view.id),
        "address": view.address,
        "scope": view.scope.value,
        "reason": view.reason.value,
        "detail": strip_control_characters(view.detail),
        "by": view.created_by,
        "since": format_time(view.created_at),
        "until": format_time(view.expires_at),
    }
