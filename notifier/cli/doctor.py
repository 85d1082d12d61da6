"""`notifier doctor`: the settings in use and where they come from, and all checks of an installation.

Each result says what to do. Nothing is created or changed.
"""

import json
from typing import TYPE_CHECKING

import typer

from notifier.cli.command import Json, load_settings, print_rows

if TYPE_CHECKING:
    from notifier.health.checks import CheckResult
    from notifier.settings import Settings


async def run_doctor(as_json: Json = False) -> None:
    """Show the settings in use, and check database, relay, recipients, files and versions. Exit 1 if one is bad."""
    from notifier.cli.used_settings import list_used_settings

    settings = load_settings()
    used = list_used_settings(settings)
    findings = await _collect_results(settings)
    if as_json:
        print(json.dumps({"settings": used, "findings": [vars(finding) for finding in findings]}))
    else:
        print_rows(used, as_json=False)
        print()
        for finding in findings:
            mark = "ok  " if finding.ok and not finding.warning else "warn" if finding.ok else "BAD "
            print(f"{mark}  {finding.name:<11} {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _collect_results(settings: "Settings") -> "list[CheckResult]":
    from notifier.health import checks

    return [
        *await _check_database(settings),
        *checks.check_data_directory(settings),
        *_check_file_modes(settings),
        *_check_dotenv_mode(),
        *checks.check_certificates(settings),
        await _check_relay(settings),
        checks.check_sender(settings),
        checks.check_recipients(settings),
        *checks.check_versions(),
    ]


async def _check_database(settings: "Settings") -> "list[CheckResult]":
    """Check the database. A missing SQLite file is reported, not created."""
    from notifier.errors import ConfigurationError
    from notifier.health import checks
    from notifier.health.checks import CheckResult
    from notifier.health.connection_check import check_database_connections
    from notifier.health.standby_check import check_standby
    from notifier.runtime import process_parts
    from notifier.webhooks.endpoint_secret import SecretBox

    try:
        async with process_parts.open_process_parts(settings) as parts:
            findings = await checks.check_database(parts.database, with_reason=True, thorough=True)
            if findings[0].ok and not parts.database.is_missing:
                findings.append(await checks.check_clock(parts.database, parts.clock))
            if all(finding.ok for finding in findings):
                findings += await checks.check_circuits(parts.database)
                findings.append(await checks.check_connections(parts.database, settings))
                findings += await check_database_connections(parts.database, settings.database_connections)
                findings += await check_standby(parts.standby)
            if all(finding.ok for finding in findings) and not parts.database.is_missing:
                box = SecretBox.from_setting(settings.secret_key)
                findings.append(await checks.check_webhook_secrets(parts.database, box, parts.clock.now()))
                findings.append(await checks.check_feed_secrets(parts.database, box))
            return findings
    except ConfigurationError as error:
        return [CheckResult(name="database", ok=False, detail=str(error))]


def _check_file_modes(settings: "Settings") -> "list[CheckResult]":
    """Check whether other users of this host can read the data directory. No finding if it does not exist."""
    import shlex

    from notifier.db import data_directory
    from notifier.db.database_url import SqliteAddress, parse_database_url
    from notifier.errors import ConfigurationError
    from notifier.health.checks import CheckResult

    if not settings.data_dir.is_dir():
        return []
    try:
        address = parse_database_url(settings.effective_database_url)
        database = address.path if isinstance(address, SqliteAddress) else None
        exposed = data_directory.find_exposed_files(settings.data_dir, database)
    except (ConfigurationError, OSError):  # other checks report the address and the directory
        return []
    if not exposed:
        return [CheckResult(name="file_modes", ok=True, detail="other users can read nothing of it")]
    commands = [
        f"chmod {mode} {shlex.join(paths)}"
        for mode, paths in (
            (700, [str(path) for path in exposed if path.is_dir()]),
            (600, [str(path) for path in exposed if not path.is_dir()]),
        )
        if paths
    ]
    detail = f"other users of this host can read mails and secrets: run {' && '.join(commands)}"
    return [CheckResult(name="file_modes", ok=True, warning=True, detail=detail)]


def _check_dotenv_mode() -> "list[CheckResult]":
    """Check whether other users of this host can read secrets in `.env`. No finding if it holds none."""
    from pathlib import Path

    from notifier.environment import DOTENV, SECRET_VARIABLES, read_dotenv
    from notifier.health.checks import CheckResult

    if not SECRET_VARIABLES & read_dotenv().keys():
        return []
    is_private = not Path(DOTENV).stat().st_mode & 0o077
    detail = (
        "other users cannot read it"
        if is_private
        else "other users of this host can read its secrets: run chmod 600 .env"
    )
    return [CheckResult(name=DOTENV, ok=True, warning=not is_private, detail=detail)]


async def _check_relay(settings: "Settings") -> "CheckResult":
    from notifier.health import checks
    from notifier.smtp.transport import SmtpTransport

    transport = SmtpTransport(settings.smtp)
    try:
        return await checks.check_relay(transport, settings)
    finally:
        await transport.close()
