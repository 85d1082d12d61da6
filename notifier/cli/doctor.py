"""`notifier doctor`: every check that readiness makes and more, with a sentence on what to do."""

from typing import TYPE_CHECKING, Annotated

import typer

from notifier.cli import output

if TYPE_CHECKING:
    from notifier.health.checks import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check database, migrations, clock, relay login and TLS, recipients mode, versions. Exit 1 if one is bad."""
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
    from notifier.health import checks
    from notifier.smtp.transport import Transport

    settings = output.settings()
    async with installation.base(settings) as parts:
        findings = await checks.database(parts.database, thorough=True)
        findings += checks.data_directory(settings)
        if findings[0].ok:
            findings.append(await checks.clock(parts.database, parts.clock))
    transport = Transport(settings.smtp)
    findings.append(await checks.relay(transport, settings))
    await transport.close()
    installation.identity(settings)
    return [*findings, checks.recipients(settings), *checks.versions()]
