"""`suppressions`: which addresses are not mailed, for one service or all; an operator may add and lift any."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output
from notifier.cli.change import operator, plain, text
from notifier.cli.options import Json
from notifier.cli.output import Failed
from notifier.cli.process_parts import open_for_writing
from notifier.states import SuppressionReason, SuppressionScope

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from notifier.suppression import SuppressionView

MOST_LISTED = 1000
Address = Annotated[str, typer.Argument(metavar="ADDRESS")]
Service = Annotated[str, typer.Option(help="Name of the service whose it is; default: the instance, for all services.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Addresses that are not mailed.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("add")(add)
    group.command("lift")(lift)
    app.add_typer(group, name="suppressions")


def list_(
    service: Service = "",
    address: Annotated[str, typer.Option(help="Only this one.")] = "",
    include_expired: Annotated[bool, typer.Option(help="List those too that bar nothing any more.")] = False,
    doubtful: Annotated[
        bool, typer.Option(help="Only what a sender added for a reply that marks nobody by today's rules; all of them.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The instance's suppressions, or a service's, newest first; at most a thousand."""
    if doubtful:
        output.run(_list_doubtful(as_json=as_json))
        return
    output.run(_list(service, address, include_expired=include_expired, as_json=as_json))


async def _list(service: str, address: str, *, include_expired: bool, as_json: bool) -> None:
    from notifier import installation, suppression

    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        wanted = suppression.Filter(
            address=_key(address) if address else None,
            lasting_after=None if include_expired else parts.clock.now(),
        )
        found = await suppression.owned(connection, await _owner(connection, service), wanted, limit=MOST_LISTED)
    output.show([_row(view) for view in found], as_json=as_json)


async def _list_doubtful(*, as_json: bool) -> None:
    from notifier import installation, suppression
    from notifier.db.tables import INSTANCE
    from notifier.smtp.replies import is_doubtful

    wanted = suppression.Filter(reason=SuppressionReason.RECIPIENT_REFUSED)
    rows, before = [], None
    async with installation.base(output.settings()) as parts, parts.database.read() as connection:
        while page := await suppression.owned(connection, INSTANCE, wanted, limit=MOST_LISTED, before=before):
            by_senders = [view for view in page if view.created_by == suppression.SENDER]
            rows += [_row(view) for view in by_senders if is_doubtful(view.detail, view.address)]
            before = page[-1].id
    output.show(rows, as_json=as_json)


def add(
    address: Address,
    service: Service = "",
    scope: Annotated[SuppressionScope, typer.Option(help="Which mail is stopped.")] = SuppressionScope.ALL,
    reason: Annotated[SuppressionReason, typer.Option(help="Why.")] = SuppressionReason.REQUESTED,
    detail: Annotated[str, typer.Option(help="A word on why; the services see it.")] = "",
    expires_at: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"], help="In UTC; default: never.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Never mail an address again. One that is there keeps its reason, and the later end."""
    words = detail.encode(errors="replace").decode()
    until = expires_at.replace(tzinfo=UTC) if expires_at else None
    output.run(_add(address, service, (scope, reason, words, until), as_json=as_json))


async def _add(
    address: str,
    service: str,
    said: tuple[SuppressionScope, SuppressionReason, str, datetime | None],
    *,
    as_json: bool,
) -> None:
    from notifier import audit, suppression

    scope, reason, detail, expires_at = said
    key = _key(address)
    if len(detail) > suppression.LONGEST_DETAIL:
        raise Failed(f"--detail: at most {suppression.LONGEST_DETAIL} characters", output.WRONG_USE)
    async with open_for_writing() as parts, parts.database.write() as connection:
        doer = audit.Doer(actor=operator(), at=parts.clock.now())
        if expires_at is not None and expires_at <= doer.at:
            raise Failed("--expires-at: that is over", output.WRONG_USE)
        wish = suppression.Wish(
            address=key,
            service_id=await _owner(connection, service),
            scope=scope,
            reason=reason,
            detail=detail,
            created_by=doer.actor,
            expires_at=expires_at,
        )
        fate, view, before = await suppression.add(connection, wish, doer.at)
        if fate is not suppression.Fate.UNCHANGED:
            await audit.record(connection, suppression.deed(fate, before=before, after=view), doer)
    output.show([_row(view)], as_json=as_json)


def lift(
    which: Annotated[str, typer.Argument(metavar="ID|ADDRESS", help="One of them, or all of an address.")],
    service: Service = "",
    comment: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    as_json: Json = False,
) -> None:
    """Let an address be mailed again, from the next submit on. Exit 1 if there is nothing to lift."""
    output.run(_lift(which, service, comment.encode(errors="replace").decode(), as_json=as_json))


async def _lift(which: str, service: str, comment: str, *, as_json: bool) -> None:
    from notifier import audit, suppression

    if len(comment) > suppression.LONGEST_DETAIL:
        raise Failed(f"--comment: at most {suppression.LONGEST_DETAIL} characters", output.WRONG_USE)
    async with open_for_writing() as parts, parts.database.write() as connection:
        doer = audit.Doer(actor=operator(), at=parts.clock.now())
        gone = []
        for id_ in await _meant(connection, which, service):
            view = await suppression.lift(connection, None, id_)
            await audit.record(connection, suppression.lifted(view, comment), doer)
            gone.append(view)
    output.show([_row(view) for view in gone], as_json=as_json)


async def _meant(connection: "AsyncConnection", which: str, service: str) -> "list[UUID]":
    """The suppressions that an id or an address stands for."""
    from uuid import UUID

    from notifier import suppression

    if "@" not in which:
        try:
            return [UUID(which)]
        except ValueError as error:
            raise Failed(f"{which!r} is neither an id nor an address", output.WRONG_USE) from error
    wanted = suppression.Filter(address=_key(which))
    found = await suppression.owned(connection, await _owner(connection, service), wanted, limit=MOST_LISTED)
    if not found:
        raise Failed(f"{service or 'the instance'} has no suppression of {which}")
    return [view.id for view in found]


async def _owner(connection: "AsyncConnection", service: str) -> "UUID":
    from notifier.auth import keys
    from notifier.db.tables import INSTANCE

    return await keys.find_service(connection, service) if service else INSTANCE


def _key(text: str) -> str:
    from notifier import address

    try:
        return address.key(address.normalised(text))
    except address.InvalidAddressError as error:
        raise Failed(f"{text!r}: {error}", output.WRONG_USE) from error


def _row(view: "SuppressionView") -> dict[str, str]:
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
