"""`db`: bring the schema up to date, check it, and hold the work of a restored backup."""

import typer

from notifier.cli.command import USAGE_ERROR, CommandError, build_actor, open_for_reading, open_for_writing


async def upgrade_database() -> None:
    """Bring the schema up to date; safe to run from several machines at once."""
    from notifier.db import migrations

    async with open_for_writing(creates=True) as parts:
        await migrations.upgrade_schema(parts.database)
        print(f"at {await migrations.get_current_revision(parts.database)}")


async def check_database() -> None:
    """Exit 0 if the schema is the one that this release needs, else 1."""
    from notifier.health import checks

    async with open_for_reading() as parts:
        findings = await checks.check_database(parts.database, with_reason=True)
    if not findings[0].ok:
        raise CommandError(findings[0].detail, USAGE_ERROR)
    for finding in findings:
        print(f"{finding.name}: {finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


async def hold_restored_work() -> None:
    """After a restore, before a sender starts: hold the mails that may have been sent since the backup."""
    from notifier.runtime.job_actions import build_job_actions
    from notifier.status import restored_work

    async with open_for_writing() as parts, parts.database.write() as connection:
        actor = build_actor(parts.clock.now())
        held = await restored_work.hold_restored_work(connection, build_job_actions(parts), actor=actor)
    print(f"mails held: {held.mails}; once a sender runs, `notifier unknown` lists them")
    print(f"job runs paused: {held.runs}; `notifier jobs list --state paused` lists them")
    print(f"schedules that leave out missed times: {held.schedules}")
