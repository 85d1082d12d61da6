"""The blocks of docs/jobs.md and docs/schedules.md, and examples/schedules.toml, do what they say."""

import asyncio
import shlex
from pathlib import Path
from typing import Any

import pytest
from support.document_blocks import ROOT, list_blocks
from support.job_driver import JobDriver
from support.seeded_installation import Installation
from support.typed_commands import type_command

from notifier.db.tables import INSTANCE
from notifier.jobs import schedule_store
from notifier.states import JobKind, JobState

EXAMPLE = ROOT / "examples" / "schedules.toml"
SCHEDULES = "docs/schedules.md"
JOBS = "docs/jobs.md"


@pytest.fixture
def quiet_driver(
    installation: Installation, driver: JobDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> JobDriver:
    """The driver, whose database the commands use."""
    monkeypatch.setenv("NOTIFIER_DATABASE_URL", installation.settings.effective_database_url)
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(tmp_path))
    return driver


async def _run_block(document: str, **replacements: str) -> str:
    """Run each command of the document, which must succeed; return what all of them print."""
    (block,) = list_blocks(document, "sh")
    printed = ""
    text = block.text
    for name, value in replacements.items():
        text = text.replace(name, value)
    for line in text.splitlines():
        result = await asyncio.to_thread(type_command, *shlex.split(line)[1:])
        assert result.code == 0, (line, result.stderr)
        printed += result.stdout
    return printed


async def test_the_commands_for_jobs(quiet_driver: JobDriver) -> None:
    """The commands of docs/jobs.md list, show, pause, resume and cancel a job."""
    run = await quiet_driver.create_run()
    printed = await _run_block(JOBS, JOB=str(run.id))
    assert [line for line in printed.splitlines() if line.startswith("state ")] == [
        f"state     {state}, 0 %" for state in ("queued", "paused", "queued", "cancelled")
    ]
    assert (await quiet_driver.get_run(run.id)).state is JobState.CANCELLED


async def test_the_commands_for_schedules(quiet_driver: JobDriver) -> None:
    """The commands of docs/schedules.md save a schedule, list its times, run it and switch it off."""
    printed = await _run_block(SCHEDULES)
    assert printed.count("T03:00:00+0") == 3
    async with quiet_driver.database.read() as connection:
        (schedule,) = await schedule_store.list_schedules(connection, INSTANCE)
    assert (schedule.name, schedule.enabled) == ("nightly", False)


async def test_the_action_of_the_document(quiet_driver: JobDriver) -> None:
    """The action of docs/jobs.md runs in ten steps."""
    (block,) = (block for block in list_blocks(JOBS, "python") if block.rest.endswith("test_job_documents.py"))
    names: dict[str, Any] = {}
    exec(block.text, names)
    action = names["GreetingAction"]()
    greeter = JobDriver(quiet_driver.database, {action.kind: action})
    run = await greeter.create_run()
    await greeter.work()
    done = await greeter.get_run(run.id)
    assert (done.state, done.counts) == (JobState.SUCCEEDED, {"greetings": 100})


async def test_the_file_of_schedules(quiet_driver: JobDriver) -> None:
    """examples/schedules.toml, which docs/schedules.md shows, is applied with the purge and the report."""
    (block,) = list_blocks(SCHEDULES, "toml")
    assert EXAMPLE.read_text().endswith(block.text)
    result = await asyncio.to_thread(type_command, "schedules", "apply", str(EXAMPLE))
    assert (result.code, result.stderr) == (0, "")
    async with quiet_driver.database.read() as connection:
        rows = await schedule_store.list_schedules(connection, INSTANCE)
    assert [(row.name, row.kind, row.timing) for row in rows] == [
        ("daily-report", JobKind.REPORT, "0 9 * * *"),
        ("purge", JobKind.PURGE, "0 3 * * *"),
    ]
