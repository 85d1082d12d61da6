"""`services`: create, list and change calling applications. Each change of a service is in the audit."""

from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli.api_access import pass_api
from notifier.cli.command import USAGE_ERROR, CommandError, Json, Rate, format_time, print_rows

if TYPE_CHECKING:
    from notifier.client import AsyncNotifier, Service, ServiceChanges

Name = Annotated[str, typer.Argument(help="Its name: letters, digits, - and _.")]
Domains = Annotated[list[str], typer.Option(help="Domain it may send from; may be repeated.")]
ContentDays = Annotated[int | None, typer.Option(min=0, help="Days that content is kept after the end.")]
NotificationDays = Annotated[int | None, typer.Option(min=0, help="Days that notifications are kept after the end.")]
Team = Annotated[list[str], typer.Option(help="Whom its team keys may mail: an address, or @domain; may be repeated.")]


@pass_api(writes=True)
async def create_service(
    notifier: "AsyncNotifier",
    name: Name,
    from_domain: Domains = [],  # noqa: B006
    team_recipient: Team = [],  # noqa: B006
    rate_per_minute: Rate = None,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Print the id of an existing service, which is not changed.")
    ] = False,
) -> None:
    """Register a calling application, and print its id."""
    from notifier.client import ConflictError

    settings = _build_settings(from_domain, team_recipient, rate_per_minute)
    try:
        service = await notifier.services.create(name, **settings)
    except ConflictError:
        if not if_missing:
            raise
        service = await notifier.services.get(name)
    print(service.id)


@pass_api(writes=False)
async def list_services(notifier: "AsyncNotifier", as_json: Json = False) -> None:
    """List all calling applications by name."""
    print_rows([_build_service_row(service) async for service in notifier.services.list()], as_json=as_json)


@pass_api(writes=True)
async def update_service(
    notifier: "AsyncNotifier",
    name: Name,
    from_domain: Domains = [],  # noqa: B006
    team_recipient: Team = [],  # noqa: B006
    no_team: Annotated[bool, typer.Option("--no-team", help="Its team keys may mail nobody.")] = False,
    rate_per_minute: Rate = None,
    keep_content_days: ContentDays = None,
    keep_notification_days: NotificationDays = None,
    keep_default: Annotated[bool, typer.Option("--keep-default", help="Keep data as the settings say.")] = False,
    as_json: Json = False,
) -> None:
    """Change a service; each list is replaced as a whole. Every process uses the change within a second."""
    if no_team and team_recipient:
        raise CommandError("--no-team and --team-recipient contradict each other", USAGE_ERROR)
    changes = _build_settings(from_domain, team_recipient, rate_per_minute)
    if no_team:
        changes["team_recipients"] = []
    if keep_content_days is not None:
        changes["keep_content_days"] = keep_content_days
    if keep_notification_days is not None:
        changes["keep_notification_days"] = keep_notification_days
    if not changes and not keep_default:
        raise CommandError("name at least one change", USAGE_ERROR)
    service = await notifier.services.update(name, default_days=keep_default or None, **changes)
    print_rows([_build_service_row(service)], as_json=as_json)


def _build_settings(domains: list[str], recipients: list[str], rate: int | None) -> "ServiceChanges":
    settings: ServiceChanges = {}
    if domains:
        settings["from_domains"] = domains
    if recipients:
        settings["team_recipients"] = recipients
    if rate is not None:
        settings["rate_per_minute"] = rate
    return settings


def _build_service_row(service: "Service") -> dict[str, str]:
    return {
        "id": service.id,
        "name": service.name,
        "from_domains": ",".join(service.from_domains) or "-",
        "team_recipients": ",".join(service.team_recipients) or "-",
        "rate_per_minute": _format_number(service.rate_per_minute),
        "keep_content_days": _format_number(service.keep_content_days),
        "keep_notification_days": _format_number(service.keep_notification_days),
        "created": format_time(service.created_at),
    }


def _format_number(number: int | None) -> str:
    return "-" if number is None else str(number)
