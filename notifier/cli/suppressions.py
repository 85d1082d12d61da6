"""`suppressions`: an operator lists, adds and lifts suppressions of any service or of the instance."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.administer import writing
from notifier.cli.change import operator, plain, text
from notifier.cli.output import Failed
from notifier.states import SuppressionReason, SuppressionScope

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.suppression import SuppressionView

MOST_LISTED = 1000
Address = Annotated[str, typer.Argument(metavar="ADDRESS")]
Service = Annotated[str, typer.Option(help="The service that owns it; default: the instance, for all services.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
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
        output.run(_list_doubtful(as_json=as_json))
        return
    output.run(_list_owned(service, address, include_expired=include_expired, as_json=as_json))


async def _list_owned(service: str, address: str, *, include_expired: bool, as_json: bool) -> None:
    from notifier import installation, suppression

    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        query = suppression.Filter(
            address=_parse_address_key(address) if address else None,
            lasting_after=None if include_expired else parts.clock.now(),
        )
        views = await suppression.owned(connection, await _find_owner(connection, service), query, limit=MOST_LISTED)
    output.show([_build_row(view) for view in views], as_json=as_json)


async def _list_doubtful(*, as_json: bool) -> None:
    from notifier import installation, suppression
    from notifier.db.tables import INSTANCE
    from notifier.smtp.replies import is_doubtful

    query = suppression.Filter(reason=SuppressionReason.RECIPIENT_REFUSED)
    rows, before = [], None
    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        while page := await suppression.owned(connection, INSTANCE, query, limit=MOST_LISTED, before=before):
            by_senders = [view for view in page if view.created_by == suppression.SENDER]
            rows += [_build_row(view) for view in by_senders if is_doubtful(view.detail, view.address)]
            before = page[-1].id
    output.show(rows, as_json=as_json)


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
    output.run(_add_suppression(address, service, (scope, reason, words, until), as_json=as_json))


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
    if len(detail) > suppression.LONGEST_DETAIL:
        raise Failed(f"--detail: at most {suppression.LONGEST_DETAIL} characters", output.WRONG_USE)
    async with writing() as parts, parts.database.write() as connection:
        doer = audit.Doer(actor=operator(), at=parts.clock.now())
        if expires_at is not None and expires_at <= doer.at:
            raise Failed("--expires-at: it must be in the future", output.WRONG_USE)
        wish = suppression.Wish(
            address=key,
            service_id=await _find_owner(connection, service),
            scope=scope,
            reason=reason,
            detail=detail,
            created_by=doer.actor,
            expires_at=expires_at,
        )
        _, view = await suppression.add(connection, wish, actor=doer)
    output.show([_build_row(view)], as_json=as_json)


def lift_suppressions(
    which: Annotated[str, typer.Argument(metavar="ID|ADDRESS", help="One suppression, or all of an address.")],
    service: Service = "",
    comment: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    as_json: Json = False,
) -> None:
    """Allow mail to an address again, from the next submit on. Exit 1 if there is nothing to lift."""
    output.run(_lift_suppressions(which, service, comment.encode(errors="replace").decode(), as_json=as_json))


async def _lift_suppressions(which: str, service: str, comment: str, *, as_json: bool) -> None:
    from notifier import audit, suppression

    if len(comment) > suppression.LONGEST_DETAIL:
        raise Failed(f"--comment: at most {suppression.LONGEST_DETAIL} characters", output.WRONG_USE)
    async with writing() as parts, parts.database.write() as connection:
        doer = audit.Doer(actor=operator(), at=parts.clock.now())
        ids = await _list_matching(connection, which, service)
        lifted = [await suppression.lift(connection, None, id_, actor=doer, comment=comment) for id_ in ids]
    output.show([_build_row(view) for view in lifted], as_json=as_json)


async def _list_matching(connection: "AsyncConnection", which: str, service: str) -> "list[UUID]":
    """The suppressions with this id or address."""
    from uuid import UUID

    from notifier import suppression

    if "@" not in which:
        try:
            return [UUID(which)]
        except ValueError as error:
            raise Failed(f"{which!r} is neither an id nor an address", output.WRONG_USE) from error
    query = suppression.Filter(address=_parse_address_key(which))
    views = await suppression.owned(connection, await _find_owner(connection, service), query, limit=MOST_LISTED)
    if not views:
        raise Failed(f"{service or 'the instance'} has no suppression of {which}")
    return [view.id for view in views]


async def _find_owner(connection: "AsyncConnection", service: str) -> "UUID":
    from notifier.auth import keys
    from notifier.db.tables import INSTANCE

    return await keys.find_service(connection, service) if service else INSTANCE


def _parse_address_key(text: str) -> str:
    from notifier import address

    try:
        return address.key(address.normalised(text))
    except address.InvalidAddressError as error:
        raise Failed(f"{text!r}: {error}", output.WRONG_USE) from error


def _build_row(view: "SuppressionView") -> dict[str, str]:
    return {
        "id": str(view.id),
        "address": view.address,
        "scope": view.scope.value,
        "reason": view.reason.value,
        "detail": plain(view.detail),
        "by": view.created_by,
        "since": text(view.created_at),
        "until": text(view.expires_at),
    }
