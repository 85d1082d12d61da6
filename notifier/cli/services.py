"""`services`: create, list and change calling applications. Each change of a service is in the audit."""

from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli.command import (
    USAGE_ERROR,
    CommandError,
    Json,
    Rate,
    build_actor,
    format_time,
    open_for_reading,
    open_for_writing,
    print_rows,
)

if TYPE_CHECKING:
    from notifier.auth.service_admin import ServiceChanges, ServiceView
    from notifier.retention_settings import RetentionSettings

Domains = Annotated[list[str], typer.Option(help="Domain it may send from; may be repeated.")]
ContentDays = Annotated[int | None, typer.Option(min=0, help="Days that content is kept after the end.")]
NotificationDays = Annotated[int | None, typer.Option(min=0, help="Days that notifications are kept after the end.")]
Team = Annotated[list[str], typer.Option(help="Whom its team keys may mail: an address, or @domain; may be repeated.")]


async def create_service(
    name: str,
    from_domain: Domains = [],  # noqa: B006
    team_recipient: Team = [],  # noqa: B006
    rate_per_minute: Rate = None,
) -> None:
    """Register a calling application."""
    from notifier.auth import service_admin

    team = _normalise_recipients(team_recipient)
    async with open_for_writing() as parts, parts.database.write() as connection:
        now = parts.clock.now()
        id_ = await service_admin.create_service(
            connection, name, from_domains=from_domain, team=team, rate_per_minute=rate_per_minute, now=now
        )
        print(id_)


async def list_services(as_json: Json = False) -> None:
    """List all calling applications by name."""
    from notifier.auth import service_admin

    async with open_for_reading() as parts, parts.database.read() as connection:
        views = await service_admin.list_services(connection)
    print_rows([_build_service_row(view) for view in views], as_json=as_json)


async def update_service(
    name: str,
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
    from notifier.auth import service_admin

    numbers = (rate_per_minute, keep_content_days, keep_notification_days)
    if not (from_domain or team_recipient or no_team or keep_default or any(n is not None for n in numbers)):
        raise CommandError("name at least one change", USAGE_ERROR)
    if no_team and team_recipient:
        raise CommandError("--no-team and --team-recipient contradict each other", USAGE_ERROR)
    changes = service_admin.ServiceChanges(
        from_domains=from_domain or None,
        team_recipients=_normalise_recipients(team_recipient) if team_recipient or no_team else None,
        rate_per_minute=rate_per_minute,
        keep_content_days=keep_content_days,
        keep_notification_days=keep_notification_days,
        default_days=keep_default,
    )
    async with open_for_writing() as parts, parts.database.write() as connection:
        _check_days(changes, parts.settings.retention)
        actor = build_actor(parts.clock.now())
        service = await service_admin.update_service(connection, name, changes, actor=actor)
    print_rows([_build_service_row(service)], as_json=as_json)


def _check_days(changes: "ServiceChanges", retention: "RetentionSettings") -> None:
    from notifier.auth import service_admin

    ceilings = {
        "content": (changes.keep_content_days, retention.max_content_days),
        "notifications": (changes.keep_notification_days, retention.max_notification_days),
    }
    for name, (days, ceiling) in ceilings.items():
        if days is not None:
            try:
                service_admin.check_keep_days(name, days, ceiling)
            except service_admin.DaysNotAllowedError as error:
                raise CommandError(str(error), USAGE_ERROR) from error


def _normalise_recipients(texts: list[str]) -> list[str]:
    from notifier import email_address
    from notifier.auth import service_admin

    recipients = []
    for text in texts:
        try:
            recipients.append(service_admin.normalise_team_recipient(text))
        except email_address.InvalidAddressError as error:
            raise CommandError(f"--team-recipient {text!r}: {error}", USAGE_ERROR) from error
    return recipients


def _build_service_row(view: "ServiceView") -> dict[str, str]:
    return {
        "id": str(view.id),
        "name": view.name,
        "from_domains": ",".join(view.from_domains) or "-",
        "team_recipients": ",".join(view.team_recipients or ()) or "-",
        "rate_per_minute": _format_number(view.rate_per_minute),
        "keep_content_days": _format_number(view.keep_content_days),
        "keep_notification_days": _format_number(view.keep_notification_days),
        "created": format_time(view.created_at),
    }


def _format_number(number: int | None) -> str:
    return "-" if number is None else str(number)
