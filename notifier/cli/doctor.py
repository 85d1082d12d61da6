"""`notifier doctor`: every check that readiness makes and more, with a sentence on what to do."""

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
    """Check database, migrations, clock, relay login, TLS, connections, recipients, versions. Exit 1 if one is bad."""
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
    from notifier import installation
    from notifier.errors import ConfigurationError
    from notifier.health import checks
    from notifier.health.checks import Finding

    settings = output.settings()
    findings = [*await _database(settings), *checks.data_directory(settings)]
    findings += [*checks.certificates(settings), await _relay(settings)]
    try:
        installation.identity(settings)
    except ConfigurationError as error:
        findings.append(Finding(name="sender", ok=False, detail=str(error)))
    return [*findings, checks.recipients(settings), *checks.versions()]


async def _database(settings: "Settings") -> "list[Finding]":
    """What there is to say about the database; nothing is made that is not there."""
    from notifier import installation
    from notifier.errors import ConfigurationError
    from notifier.health import checks
    from notifier.health.checks import Finding

    try:
        async with installation.base(settings) as parts:
            findings = await checks.database(parts.database, with_reason=True, thorough=True)
            if findings[0].ok and not parts.database.is_missing:
                findings.append(await checks.clock(parts.database, parts.clock))
            if all(finding.ok for finding in findings):
                findings.append(await checks.connections(parts.database, settings))
            return findings
    except ConfigurationError as error:
        return [Finding(name="database", ok=False, detail=str(error))]


async def _relay(settings: "Settings") -> "Finding":
    from notifier.health import checks
    from notifier.smtp.transport import Transport

    transport = Transport(settings.smtp)
    try:
        return await checks.relay(transport, settings)
    finally:
        await transport.close()
