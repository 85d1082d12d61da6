"""`suppressions`: an operator lists, adds and lifts suppressions of any service or of the instance."""

from datetime import UTC, datetime
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
from notifier.states import SuppressionReason, SuppressionScope

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.suppression import SuppressionView

MAX_LISTED = 1000
Address = Annotated[str, typer.Argument(metavar="ADDRESS")]
Service = Annotated[str, typer.Option(help="The service that owns it; default: the instance, for all services.")]


async def list_suppressions(
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
    """List the suppressions of the instance or of a service, newest first; at most a thousand."""
    from notifier import suppression

    if doubtful:
        await _list_doubtful(as_json=as_json)
        return
    async with open_for_reading() as parts, parts.database.read() as connection:
        query = suppression.SuppressionFilter(
            address=_parse_address_key(address) if address else None,
            lasting_after=None if include_expired else parts.clock.now(),
        )
        views = await suppression.list_owned_suppressions(
            connection, await _find_owner(connection, service), query, limit=MAX_LISTED
        )
    print_rows([_build_row(view) for view in views], as_json=as_json)


async def _list_doubtful(*, as_json: bool) -> None:
    from notifier import suppression
    from notifier.db.tables import INSTANCE
    from notifier.smtp.reply_meaning import is_doubtful

    query = suppression.SuppressionFilter(reason=SuppressionReason.RECIPIENT_REFUSED)
    rows, before = [], None
    async with open_for_reading() as parts, parts.database.read() as connection:
        while page := await suppression.list_owned_suppressions(
            connection, INSTANCE, query, limit=MAX_LISTED, before=before
        ):
            by_senders = [view for view in page if view.created_by == suppression.SENDER_ACTOR]
            rows += [_build_row(view) for view in by_senders if is_doubtful(view.detail, view.address)]
            before = page[-1].id
    print_rows(rows, as_json=as_json)


async def add_suppression(
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
    from notifier import suppression

    key = _parse_address_key(address)
    detail = replace_surrogates(detail, "--detail", suppression.MAX_DETAIL_LENGTH)
    until = expires_at.replace(tzinfo=UTC) if expires_at else None
    async with open_for_writing() as parts, parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        if until is not None and until <= actor.at:
            raise CommandError("--expires-at: it must be in the future", USAGE_ERROR)
        new = suppression.NewSuppression(
            address=key,
            service_id=await _find_owner(connection, service),
            scope=scope,
            reason=reason,
            detail=detail,
            created_by=actor.name,
            expires_at=until,
        )
        _, view = await suppression.add_suppression(connection, new, actor=actor)
    print_rows([_build_row(view)], as_json=as_json)


async def lift_suppressions(
    which: Annotated[str, typer.Argument(metavar="ID|ADDRESS", help="One suppression, or all of an address.")],
    service: Service = "",
    comment: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    as_json: Json = False,
) -> None:
    """Allow mail to an address again, from the next submit on. Exit 1 if there is nothing to lift."""
    from notifier import suppression

    comment = replace_surrogates(comment, "--comment", suppression.MAX_DETAIL_LENGTH)
    async with open_for_writing() as parts, parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        ids = await _list_matching(connection, which, service)
        lift = partial(suppression.lift_suppression, connection, None, actor=actor, comment=comment)
        views = [await lift(id_) for id_ in ids]
    print_rows([_build_row(view) for view in views], as_json=as_json)


async def _list_matching(connection: "AsyncConnection", which: str, service: str) -> list[UUID]:
    """Find the ids of the suppressions with this id or address."""
    from notifier import suppression

    if "@" not in which:
        try:
            return [UUID(which)]
        except ValueError as error:
            raise CommandError(f"{which!r} is neither an id nor an address", USAGE_ERROR) from error
    query = suppression.SuppressionFilter(address=_parse_address_key(which))
    views = await suppression.list_owned_suppressions(
        connection, await _find_owner(connection, service), query, limit=MAX_LISTED
    )
    if not views:
        raise CommandError(f"{service or 'the instance'} has no suppression of {which}")
    return [view.id for view in views]


async def _find_owner(connection: "AsyncConnection", service: str) -> UUID:
    from notifier.auth import service_admin
    from notifier.db.tables import INSTANCE

    return await service_admin.find_service(connection, service) if service else INSTANCE


def _parse_address_key(text: str) -> str:
    from notifier import email_address

    try:
        return email_address.get_address_key(email_address.normalise_address(text))
    except email_address.InvalidAddressError as error:
        raise CommandError(f"{text!r}: {error}", USAGE_ERROR) from error


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
