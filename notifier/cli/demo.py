"""`notifier demo`: API, sender and inbox in one process, with their own database, relay and directory.

The environment changes only how the demo logs, never where its mail goes.
"""

import json
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli.command import USAGE_ERROR, CommandError, set_up_logging
from notifier.cli.run import InboxPortOption, PortOption, SmtpPortOption, name_busy_port, wait_for_stop

if TYPE_CHECKING:
    from notifier.log_settings import LogSettings
    from notifier.runtime.process_parts import ProcessParts
    from notifier.settings import Settings

DATA_DIR = Path("var/demo")
KEY_FILE = "demo-key"
"""File with the demo's API key. It also marks the directory as one that belongs to a demo."""
LOOPBACK = ("localhost", "127.0.0.1")
"""Hosts to which the demo sends webhooks over plain HTTP."""
DEMO_ADMIN = "demo@example.com"


async def start_demo(
    port: PortOption = 8000,
    inbox_port: InboxPortOption = 8025,
    smtp_port: SmtpPortOption = 1025,
    data_dir: Annotated[Path, typer.Option(help="Where the demo's data are kept.")] = DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Try Notifier: API, sender and inbox in one process, on SQLite. No mail leaves this machine."""
    logs, ignored = _load_log_settings()
    set_up_logging(logs)
    with name_busy_port({"--port": port, "--inbox-port": inbox_port, "--smtp-port": smtp_port}):
        await _run_demo(data_dir, (port, inbox_port, smtp_port), ignored, as_json=as_json)


def _load_log_settings() -> "tuple[LogSettings, list[str]]":
    """Load the log settings, and list the variables that are set but have no effect."""
    from pydantic import ValidationError

    from notifier.environment import CLIENT_VARIABLES, list_set_variables
    from notifier.errors import ConfigurationError
    from notifier.log_settings import LogSettings
    from notifier.settings import IsolatedSettings

    ignored = [name for name in list_set_variables() if name not in CLIENT_VARIABLES]
    try:
        logs = LogSettings()
    except (ConfigurationError, ValidationError):
        return IsolatedSettings(), ignored
    return logs, [name for name in ignored if name not in {"NOTIFIER_LOG_LEVEL", "NOTIFIER_LOG_FORMAT"}]


def _build_settings(data_dir: Path, smtp_port: int) -> "Settings":
    """Build the settings from the options of the command only."""
    from notifier.settings import (
        IsolatedSettings,
        RecipientsMode,
        RecipientsSettings,
        SmtpSecurity,
        SmtpSettings,
        WebhooksSettings,
        find_shipped_directory,
    )

    return IsolatedSettings(
        data_dir=data_dir,
        templates_dir=find_shipped_directory("templates"),
        smtp=SmtpSettings(host="127.0.0.1", port=smtp_port, security=SmtpSecurity.NONE),
        recipients=RecipientsSettings(mode=RecipientsMode.ALLOW),
        webhooks=WebhooksSettings(insecure_hosts=LOOPBACK),
    )


async def _run_demo(data_dir: Path, ports: tuple[int, int, int], ignored: list[str], *, as_json: bool) -> None:
    from notifier.db import data_directory, migrations
    from notifier.http_server import raise_file_limit
    from notifier.inbox.inbox_server import Inbox
    from notifier.runtime import wiring

    port, inbox_port, smtp_port = ports
    _refuse_other_installation(data_dir)
    raise_file_limit()
    async with AsyncExitStack() as stack:
        inbox = await stack.enter_async_context(Inbox(smtp_port=smtp_port, http_port=inbox_port))
        listener = wiring.open_listener("127.0.0.1", port)
        stack.callback(listener.close)
        stack.enter_context(data_directory.lock_directory(data_dir))
        if not (data_dir / KEY_FILE).exists():  # mark the directory as the demo's before there is a key
            data_directory.write_secret_file(data_dir / KEY_FILE, "")
        parts = await stack.enter_async_context(wiring.open_process_parts(_build_settings(data_dir, inbox.smtp_port)))
        await migrations.upgrade_schema(parts.database)
        await _publish_templates(parts)
        key = await _find_or_create_key(parts, data_dir)
        await stack.enter_async_context(wiring.run_sender(parts))
        await stack.enter_async_context(wiring.serve_http(wiring.build_site(parts), listener))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        places = {"api": url, "inbox": inbox.http_url, "smtp": f"127.0.0.1:{inbox.smtp_port}", "key": key}
        places["console"] = await _create_sign_in_link(parts, url)
        schedules = await _list_schedules(parts)
        if as_json:
            await wait_for_stop(json.dumps(places | {"schedules": schedules, "ignored": ignored}))
        else:
            await wait_for_stop(_describe_places(places, schedules, ignored))


def _refuse_other_installation(data_dir: Path) -> None:
    """Refuse a directory that holds the data of another installation."""
    if (data_dir / KEY_FILE).exists():
        return
    for name in ("notifier.sqlite3", "journal"):
        if (data_dir / name).exists():
            raise CommandError(
                f"{data_dir} holds the data of an installation ({name}), which the demo does not touch:"
                " choose another directory with --data-dir",
                USAGE_ERROR,
            )


async def _publish_templates(parts: "ProcessParts") -> None:
    """Publish the shipped templates that do not exist yet. Edited templates stay as they are."""
    from notifier.rendering.pool import RenderingPool
    from notifier.settings import find_shipped_directory
    from notifier.templating.sync import template_files
    from notifier.templating.sync.push import Push

    root = find_shipped_directory("templates")
    async with RenderingPool() as pool:
        push = Push(database=parts.database, pool=pool, clock=parts.clock, by="demo", only_new=True)
        await push.run(root, template_files.list_slugs(root))


async def _find_or_create_key(parts: "ProcessParts", data_dir: Path) -> str:
    """Return the demo's API key. It is created at the first start and reused at every later one."""
    from notifier.auth import authenticated_key, authenticator, key_admin, service_admin
    from notifier.db import data_directory
    from notifier.errors import NotFoundError

    file = data_dir / KEY_FILE
    key = file.read_text().strip()
    with suppress(authenticated_key.UnauthenticatedError):
        await authenticator.Authenticator(parts.database, parts.clock).authenticate_service(f"Bearer {key}")
        return key
    async with parts.database.write() as connection:
        try:
            service = await service_admin.find_service(connection, "demo")
        except NotFoundError:
            now, domains = parts.clock.now(), ["shop.example"]  # as in the documentation
            service = await service_admin.create_service(connection, "demo", from_domains=domains, now=now)
        key = await key_admin.create_live_key(
            connection, service, scopes=list(authenticated_key.KeyScope), now=parts.clock.now()
        )
    data_directory.write_secret_file(file, key)
    return key


async def _create_sign_in_link(parts: "ProcessParts", url: str) -> str:
    """Create the demo's admin if there is none, and a link by which they choose a password; older links end."""
    from notifier.audit import Actor
    from notifier.auth import staff_admin, staff_link
    from notifier.auth.staff_admin import NewStaff
    from notifier.auth.staff_roles import StaffRole
    from notifier.errors import NotFoundError

    async with parts.database.write() as connection:
        actor = Actor(name="cli:demo", at=parts.clock.now())
        try:
            admin = await staff_admin.get_staff(connection, DEMO_ADMIN)
        except NotFoundError:
            person = NewStaff(email=DEMO_ADMIN, name="Demo", roles=frozenset({StaffRole.ADMIN}))
            admin = await staff_admin.create_staff(connection, person, actor=actor)
        return (await staff_link.create_link(connection, admin.id, actor=actor)).build_url(url)


async def _list_schedules(parts: "ProcessParts") -> list[str]:
    """Create the built-in schedules, and list all schedules with their timings."""
    from notifier.jobs import schedule_store
    from notifier.jobs.schedule_ticker import create_built_in_schedules
    from notifier.states import JobKind

    await create_built_in_schedules(parts.database, frozenset(JobKind), parts.clock.now())
    async with parts.database.read() as connection:
        schedules = await schedule_store.list_schedules(connection, None)
    return [f"{schedule.name} ({schedule.timing}, {schedule.zone})" for schedule in schedules]


def _describe_places(places: dict[str, str], schedules: list[str], ignored: list[str]) -> str:
    api, key = places["api"], places["key"]
    body = '{"to": "ada@example.com", "template": "welcome", "variables": {"name": "Ada", "product": "Larkspur"}}'
    without = (
        f"\nThe demo has its own database, relay and inbox. It ignores these variables: {', '.join(ignored)}.\n"
        if ignored
        else ""
    )
    return (
        f"\n  Console  {places['console']}\n"
        f"  API      {api}/docs\n  Inbox    {places['inbox']}\n  SMTP     {places['smtp']}\n  Key      {key}\n"
        f"  Jobs     {', '.join(schedules)}\n{without}\n"
        f"The console's link works once: choose a password for {DEMO_ADMIN} there. Each start prints a new link.\n\n"
        "Send a mail:\n\n"
        f"curl -i {api}/v1/notifications -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        f" -d '{body}'\n\nCtrl-C stops; data and key are kept.\n"
    )
