"""`notifier doctor`: all checks of an installation, each with a sentence on what to do."""

from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output

if TYPE_CHECKING:
    from notifier.health.checks import Finding
    from notifier.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check database, clock, relay, TLS, connections, circuits, recipients, versions. Exit 1 if one is bad."""
    findings = output.run(_findings())
    if as_json:
        output.show((vars(finding) for finding in findings), as_json=True)
    else:
        for finding in findings:
            mark = "ok  " if finding.ok and not finding.warning else "warn" if finding.ok else "BAD "
            print(f"{mark}  {finding.name:<11} {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def _findings() -> "list[Finding]":
    from notifier.default_sender import get_default_sender
    from notifier.errors import ConfigurationError
    from notifier.health import checks
    from notifier.health.checks import Finding

    settings = output.settings()
    findings = [
        *await _database(settings),
        *checks.data_directory(settings),
        *_file_modes(settings),
        *checks.certificates(settings),
        await _relay(settings),
    ]
    try:
        get_default_sender(settings)
    except ConfigurationError as error:
        findings.append(Finding(name="sender", ok=False, detail=str(error)))
    return [*findings, checks.recipients(settings), *checks.versions()]


async def _database(settings: "Settings") -> "list[Finding]":
    """Check the database. A missing SQLite file is reported, not created."""
    from notifier import installation
    from notifier.errors import ConfigurationError
    from notifier.health import checks
    from notifier.health.checks import Finding
    from notifier.webhooks.secret_box import SecretBox

    try:
        async with installation.base(settings) as parts:
            findings = await checks.database(parts.database, with_reason=True, thorough=True)
            if findings[0].ok and not parts.database.is_missing:
                findings.append(await checks.clock(parts.database, parts.clock))
            if all(finding.ok for finding in findings):
                findings += await checks.circuits(parts.database)
                findings.append(await checks.connections(parts.database, settings))
            if all(finding.ok for finding in findings) and not parts.database.is_missing:
                box = SecretBox.of(settings.secret_key)
                findings.append(await checks.webhook_secrets(parts.database, box, parts.clock.now()))
            return findings
    except ConfigurationError as error:
        return [Finding(name="database", ok=False, detail=str(error))]


def _file_modes(settings: "Settings") -> "list[Finding]":
    """Check whether other users of this host can read the data directory. No finding if it does not exist."""
    import shlex

    from notifier.db import directory
    from notifier.db.url import SqliteAddress, read_url
    from notifier.errors import ConfigurationError
    from notifier.health.checks import Finding

    if not settings.data_dir.is_dir():
        return []
    try:
        address = read_url(settings.effective_database_url)
        database = address.path if isinstance(address, SqliteAddress) else None
        exposed = directory.find_exposed(settings.data_dir, database)
    except (ConfigurationError, OSError):  # other checks report the address and the directory
        return []
    if not exposed:
        return [Finding(name="file_modes", ok=True, detail="other users can read nothing of it")]
    commands = [
        f"chmod {mode} {shlex.join(paths)}"
        for mode, paths in (
            (700, [str(path) for path in exposed if path.is_dir()]),
            (600, [str(path) for path in exposed if not path.is_dir()]),
        )
        if paths
    ]
    detail = f"other users of this host can read mails and secrets: run {' && '.join(commands)}"
    return [Finding(name="file_modes", ok=True, warning=True, detail=detail)]


async def _relay(settings: "Settings") -> "Finding":
    from notifier.health import checks
    from notifier.smtp.transport import Transport

    transport = Transport(settings.smtp)
    try:
        return await checks.relay(transport, settings)
    finally:
        await transport.close()
