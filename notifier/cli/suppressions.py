"""`suppressions`: an operator lists, adds and lifts suppressions of any service or of the instance."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from notifier.cli.api_access import pass_api, take_first
from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    format_time,
    print_rows,
    replace_surrogates,
    strip_control_characters,
)
from notifier.states import SuppressionReason, SuppressionScope

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Suppression

MAX_LISTED = 1000
PAGE_SIZE = 200
SENDER_ACTOR = "sender"
INSTANCE = "instance"
Address = Annotated[str, typer.Argument(metavar="ADDRESS")]
Service = Annotated[str, typer.Option(help="The service that owns it; default: the instance, for all services.")]


@pass_api(writes=False)
async def list_suppressions(
    notifier: "AsyncNotifier",
    service: Annotated[str, typer.Option(help="Only those of this service.")] = "",
    address: Annotated[str, typer.Option(help="Only this one.")] = "",
    include_expired: Annotated[
        bool, typer.Option("--include-expired", help="Also list those that have expired.")
    ] = False,
    doubtful: Annotated[
        bool,
        typer.Option(
            "--doubtful",
            help="Only those added for a relay's reply that today's rules would not suppress for; all of them.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the suppressions of the instance and of all services, newest first; at most a thousand."""
    if doubtful:
        rows = await _list_doubtful(notifier)
    else:
        listed = notifier.suppressions.list(
            service=service or None,
            address=_check_address(address) if address else None,
            include_expired=include_expired,
            limit=PAGE_SIZE,
        )
        rows = await take_first((each async for each in listed if not service or each.service), MAX_LISTED)
    print_rows([_build_row(each) for each in rows], as_json=as_json)


async def _list_doubtful(notifier: "AsyncNotifier") -> "list[Suppression]":
    from notifier.smtp.reply_meaning import is_doubtful

    listed = notifier.suppressions.list(reason=SuppressionReason.RECIPIENT_REFUSED.value, limit=PAGE_SIZE)
    return [
        each
        async for each in listed
        if each.owner == INSTANCE and each.created_by == SENDER_ACTOR and is_doubtful(each.detail or "", each.address)
    ]


@pass_api(writes=True)
async def add_suppression(
    notifier: "AsyncNotifier",
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
    added = await notifier.suppressions.add(
        replace_surrogates(address),
        service=service or None,
        scope=scope.value,
        reason=reason.value,
        detail=replace_surrogates(detail),
        expires_at=expires_at.replace(tzinfo=UTC) if expires_at else None,
    )
    print_rows([_build_row(added)], as_json=as_json)


@pass_api(writes=True)
async def lift_suppressions(
    notifier: "AsyncNotifier",
    which: Annotated[str, typer.Argument(metavar="ID|ADDRESS", help="One suppression, or all of an address.")],
    service: Service = "",
    comment: Annotated[str, typer.Option(help="Why; kept in the audit.")] = "",
    as_json: Json = False,
) -> None:
    """Allow mail to an address again, from the next submit on. Exit 1 if there is nothing to lift."""
    matching = await _list_matching(notifier, which, service)
    for each in matching:
        await notifier.suppressions.lift(each.id, comment=replace_surrogates(comment))
    print_rows([_build_row(each) for each in matching], as_json=as_json)


async def _list_matching(notifier: "AsyncNotifier", which: str, service: str) -> "list[Suppression]":
    """Find the suppressions with this id or address."""
    if "@" not in which:
        try:
            return [await notifier.suppressions.get(str(UUID(which)))]
        except ValueError as error:
            raise CommandError(f"{which!r} is neither an id nor an address", USAGE_ERROR) from error
    listed = notifier.suppressions.list(
        service=service or None, address=replace_surrogates(which), include_expired=True
    )
    is_of_service = bool(service) or await _has_service_key(notifier)
    matching = [each async for each in listed if bool(each.service) is is_of_service]
    if not matching:
        advice = "" if service else "; for one of a service give --service NAME, or its ID"
        raise CommandError(f"{service or 'the instance'} has no suppression of {which}{advice}")
    return matching


async def _has_service_key(notifier: "AsyncNotifier") -> bool:
    from notifier.client import NotFoundError

    try:
        return (await notifier.whoami()).service is not None
    except NotFoundError:  # the operator of this process, who has no key
        return False


def _check_address(text: str) -> str:
    if "@" not in text:
        raise CommandError(f"--address {text!r}: this is no address", USAGE_ERROR)
    return replace_surrogates(text)


def _build_row(each: "Suppression") -> dict[str, str]:
    return {
        "id": each.id,
        "address": each.address,
        "service": each.service or "-",
        "scope": each.scope or "-",
        "reason": each.reason or "-",
        "detail": strip_control_characters(each.detail or ""),
        "by": each.created_by or "-",
        "since": format_time(each.created_at),
        "until": format_time(each.expires_at),
    }
