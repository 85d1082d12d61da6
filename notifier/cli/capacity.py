"""`notifier capacity`: how much of this installation is used, what ends first, and what to do.

It opens the database, as `doctor` does, because it reads counters of the server that no key of the API should show.
"""

import json
from typing import Annotated

import typer

from notifier.cli.command import USAGE_ERROR, CommandError, Json, open_for_reading

MAX_SAMPLE_SECONDS = 600.0


async def show_capacity(
    database_cores: Annotated[
        float | None,
        typer.Option(min=0.1, max=1024, help="Cores of PostgreSQL's host, which SQL cannot tell; default: not known."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=MAX_SAMPLE_SECONDS, help="How long the WAL and the commits are watched.")
    ] = 5.0,
    as_json: Json = False,
) -> None:
    """Show how much of this installation is used, what ends first as mail grows, and what to do then."""
    from dataclasses import asdict

    from notifier.db import migrations
    from notifier.db.database_errors import UPGRADE_ADVICE
    from notifier.health.capacity_report import build_report
    from notifier.health.installation_usage import read_usage

    async with open_for_reading() as parts:
        if parts.database.is_missing:
            raise CommandError(f"{parts.database.address.place} does not exist yet: {UPGRADE_ADVICE}", USAGE_ERROR)
        fault = migrations.find_schema_fault(await migrations.get_current_revision(parts.database))
        if fault is not None:
            raise CommandError(f"the database is {fault}", USAGE_ERROR)
        usage = await read_usage(parts.database, parts.settings, parts.clock, seconds=seconds)
    report = build_report(usage, database_cores)
    if as_json:
        limits = {limit.limit.value: limit.mails_per_second for limit in report.limits}
        first = report.first_limit.limit.value if report.first_limit else None
        facts = {"usage": asdict(usage), "limits": limits, "first_limit": first, "next_step": report.next_step}
        print(json.dumps(facts, default=str))
        return
    for subject, sentence in [*report.lines, ("next step", report.next_step)]:
        print(f"{subject:<12} {sentence}")
