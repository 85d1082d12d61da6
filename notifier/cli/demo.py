"""`notifier demo`: API, sender and inbox in one process, with their own database, relay and directory.

The environment changes only how the demo logs, never where its mail goes. Each step is told as it begins, on stderr.
"""

import json
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notifier.cli.command import USAGE_ERROR, CommandError, set_up_logging
from notifier.cli.run import InboxPortOption, PortOption, SmtpPortOption, name_busy_port, wait_for_stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from notifier.log_settings import LogSettings
    from notifier.runtime.process_parts import ProcessParts
    from notifier.settings import Settings

DATA_DIR = Path("var/demo")
KEY_FILE = "demo-key"
"""File with the demo's API key. It also marks the directory as one that belongs to a demo."""
ADMIN_KEY_FILE = "demo-admin-key"
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
    _refuse_other_installation(data_dir)
    announce = _announce_nothing if as_json else _announce_step
    announce("demo", f"starts in {data_dir}; the first start takes some seconds longer")
    logs, ignored = _load_log_settings()
    set_up_logging(logs)
    with name_busy_port({"--port": port, "--inbox-port": inbox_port, "--smtp-port": smtp_port}):
        async with AsyncExitStack() as stack:
            places = await _start_parts(stack, data_dir, (port, inbox_port, smtp_port), announce)
            ready = json.dumps(places | {"ignored": ignored}) if as_json else _describe_places(places, ignored)
            await wait_for_stop(ready)


def _announce_step(name: str, what: str) -> None:
    print(f"{name:<9}  {what}", file=sys.stderr, flush=True)


def _announce_nothing(_name: str, _what: str) -> None:
    """Announce nothing, for programs that read one line of JSON."""


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
        WebhooksSettings,
        find_shipped_directory,
    )
    from notifier.smtp_settings import SmtpSecurity, SmtpSettings

    return IsolatedSettings(
        data_dir=data_dir,
        templates_dir=find_shipped_directory("templates"),
        smtp=SmtpSettings(host="127.0.0.1", port=smtp_port, security=SmtpSecurity.NONE),
        recipients=RecipientsSettings(mode=RecipientsMode.ALLOW),
        webhooks=WebhooksSettings(insecure_hosts=LOOPBACK),
    )


async def _start_parts(
    stack: AsyncExitStack, data_dir: Path, ports: tuple[int, int, int], announce: "Callable[[str, str], None]"
) -> dict[str, Any]:
    """Start inbox, sender and API; return their addresses and the keys. Slow modules are imported where needed."""
    from notifier.http_server import open_listener, raise_file_limit
    from notifier.inbox.inbox_server import Inbox

    port, inbox_port, smtp_port = ports
    raise_file_limit()
    listener = open_listener("127.0.0.1", port)
    stack.callback(listener.close)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    inbox = Inbox(smtp_port=smtp_port, http_port=inbox_port, console_url=f"{url}/console")
    await stack.enter_async_context(inbox)
    announce("inbox", inbox.http_url)
    announce("database", str(data_dir / "notifier.sqlite3"))
    parts = await _open_database(stack, data_dir, inbox.smtp_port)
    announce("templates", "checking the shipped ones")
    keys = await _fill_database(parts, data_dir)
    announce("sender", f"sends to the inbox, 127.0.0.1:{inbox.smtp_port}")
    from notifier.runtime import wiring

    await stack.enter_async_context(wiring.run_sender(parts))
    announce("API", url)
    await stack.enter_async_context(wiring.serve_http(wiring.build_site(parts), listener))
    places = {"api": url, "inbox": inbox.http_url, "smtp": f"127.0.0.1:{inbox.smtp_port}"} | keys
    return places | {"console": await _create_sign_in_link(parts, url), "schedules": await _list_schedules(parts)}


async def _open_database(stack: AsyncExitStack, data_dir: Path, smtp_port: int) -> "ProcessParts":
    """Lock the directory, mark it as the demo's before there is a key, and migrate its database."""
    from notifier.db import data_directory, migrations
    from notifier.runtime import process_parts

    stack.enter_context(data_directory.lock_directory(data_dir))
    if not (data_dir / KEY_FILE).exists():
        data_directory.write_secret_file(data_dir / KEY_FILE, "")
    settings = _build_settings(data_dir, smtp_port)
    parts = await stack.enter_async_context(process_parts.open_process_parts(settings))
    await migrations.upgrade_schema(parts.database)
    return parts


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


async def _fill_database(parts: "ProcessParts", data_dir: Path) -> dict[str, str]:
    """Publish the templates, and return the API key and the admin key, which are created at the first start."""
    from notifier.audit import Actor
    from notifier.auth.authenticated_key import SERVICE_SCOPES, KeyScope
    from notifier.auth.key_admin import NewKey
    from notifier.cli import installation
    from notifier.db import data_directory

    await installation.publish_shipped_templates(parts, "demo")
    actor = Actor(name="cli:demo", at=parts.clock.now())
    async with parts.database.write() as connection:  # the domain of the documentation
        service = await installation.find_or_create_service(connection, "demo", actor, ["shop.example"])
    wanted = {
        KEY_FILE: (service, NewKey(scopes=SERVICE_SCOPES)),
        ADMIN_KEY_FILE: (None, NewKey(scopes=tuple(KeyScope))),
    }
    keys = []
    for name, (owner, properties) in wanted.items():
        file = data_dir / name
        before = file.read_text().strip() if file.exists() else ""
        keys.append(await installation.find_or_create_key(parts, before, owner, properties, actor))
        if keys[-1] != before:
            data_directory.write_secret_file(file, keys[-1])
    return {"key": keys[0], "admin_key": keys[1]}


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


def _describe_places(places: dict[str, Any], ignored: list[str]) -> str:
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
        f"  Jobs     {', '.join(places['schedules'])}\n{without}\n"
        f"The console's link works once: choose a password for {DEMO_ADMIN} there. Each start prints a new link.\n\n"
        "For commands and examples in another terminal:\n\n"
        f"export NOTIFIER_URL={api} NOTIFIER_API_KEY={key} NOTIFIER_ADMIN_KEY={places['admin_key']}\n\n"
        "Send a mail:\n\n"
        f"curl -i {api}/v1/notifications -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        f" -d '{body}'\n\nCtrl-C stops; data and keys are kept.\n"
    )
