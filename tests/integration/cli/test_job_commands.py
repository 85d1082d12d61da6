"""`notifier jobs` and `notifier schedules`: what they print, refuse and exit with, on both databases."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import counting_action
from support.counting_action import CountingAction
from support.job_driver import JobDriver
from support.seeded_installation import Installation
from support.typed_commands import CommandResult, type_command

from notifier.cli import jobs
from notifier.ids import generate_id
from notifier.jobs.job_action import JobFailedError
from notifier.jobs.job_control import JobActions
from notifier.runtime import site
from notifier.runtime.process_parts import ProcessParts
from notifier.states import JobKind, JobState


@pytest.fixture(autouse=True)
def _counting_actions() -> Iterator[None]:
    """Let the commands know a job that counts, besides the purge."""
    before = vars(site)["build_job_actions"]

    def build(parts: ProcessParts) -> JobActions:
        return {JobKind.NOTIFY: CountingAction(), JobKind.PURGE: CountingAction()}

    vars(site)["build_job_actions"] = build
    yield
    vars(site)["build_job_actions"] = before


class Terminal:
    """Commands in the environment of an installation."""

    def __init__(self, driver: JobDriver) -> None:
        self.driver = driver

    async def type(self, line: str, *words: str) -> CommandResult:
        """Run a command."""
        return await asyncio.to_thread(type_command, *line.split(), *words)

    async def type_json(self, line: str, *words: str) -> Any:
        """Run a command with `--json`, which must succeed."""
        result = await self.type(line, *words, "--json")
        assert result.code == 0, result.stderr
        return json.loads(result.stdout)

    async def refuse(self, line: str, *words: str) -> tuple[int, str]:
        """Run a command that must fail; return its exit code and what it says."""
        result = await self.type(line, *words)
        assert result.code > 0
        assert result.stderr.startswith("notifier: ") or result.code == 2
        return result.code, result.stderr


@pytest.fixture
async def terminal(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Terminal]:
    monkeypatch.setenv("NOTIFIER_DATABASE_URL", installation.settings.effective_database_url)
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(tmp_path))
    async with installation.open_parts() as parts:
        await counting_action.create_table(parts.database)
        yield Terminal(JobDriver(parts.database, {JobKind.NOTIFY: CountingAction()}))


async def test_list_show_and_change_jobs(terminal: Terminal) -> None:
    """Jobs are listed with filters, shown with their log, paused, resumed and cancelled by an operator."""
    run = await terminal.driver.create_run()
    await terminal.driver.create_run(kind=JobKind.PURGE)
    assert [job["kind"] for job in await terminal.type_json("jobs list")] == ["purge", "notify"]
    assert [job["id"] for job in await terminal.type_json("jobs list --kind notify")] == [str(run.id)]
    assert await terminal.type_json("jobs list --service shop") == []
    assert await terminal.type_json("jobs list --schedule nightly") == []
    paused = await terminal.type_json(f"jobs pause {run.id}")
    assert paused["state"] == "paused"
    assert paused["log"][-1]["text"].startswith("paused by operator:")
    assert [job["state"] for job in await terminal.type_json("jobs list --state paused")] == ["paused"]
    assert (await terminal.type_json(f"jobs resume {run.id}"))["state"] == "queued"
    assert (await terminal.type_json(f"jobs cancel {run.id}"))["state"] == "cancelled"
    shown = await terminal.type(f"jobs show {run.id}")
    assert [line.split()[0] for line in shown.stdout.splitlines() if line][:3] == [str(run.id), "state", "counts"]
    assert "cancelled by operator:" in shown.stdout
    table = await terminal.type("jobs list")
    assert table.stdout.splitlines()[0].split()[:3] == ["ID", "KIND", "STATE"]
    assert await terminal.refuse(f"jobs resume {run.id}") == (
        1,
        "notifier: the job is cancelled: only a paused job can be resumed, and only a failed one retried\n",
    )


async def test_wrong_words_for_jobs_are_one_line(terminal: Terminal) -> None:
    """An id that is none, an unknown job, service or filter: one line, and 1 or 2."""
    assert await terminal.refuse("jobs show nonsense") == (
        2,
        "notifier: 'nonsense' is not a job's id: `notifier jobs list` has them\n",
    )
    assert await terminal.refuse(f"jobs cancel {generate_id()}") == (1, "notifier: there is no such job\n")
    run = await terminal.driver.create_run()
    assert (await terminal.type(f"jobs show {run.id}")).code == 0
    assert (await terminal.refuse("jobs list --service nobody"))[0] == 2
    assert (await terminal.refuse("jobs list --kind everything"))[0] == 2
    assert (await terminal.refuse("jobs list --limit 0"))[0] == 2
    assert (await terminal.refuse("jobs list --schedule", "A B"))[0] == 2


async def test_watch_prints_each_change_and_the_end(terminal: Terminal) -> None:
    """`watch` prints a line for each change without a terminal, and exits with 0 only if the job succeeded."""
    before, jobs.WATCH_SECONDS = jobs.WATCH_SECONDS, 0.01
    try:
        run = await terminal.driver.create_run(options={"total": 30})
        watching = asyncio.create_task(terminal.type(f"jobs watch {run.id}"))
        await asyncio.wait({watching}, timeout=0.5)
        await terminal.driver.work()
        watched = await watching
    finally:
        jobs.WATCH_SECONDS = before
    assert (watched.code, watched.stderr) == (0, "")
    lines = watched.stdout.splitlines()
    assert lines[-1] == "succeeded 100 %  rows=30"
    assert len(lines) == len(set(lines))

    async def give_up(_number: int) -> None:
        raise JobFailedError("full")

    failing = JobDriver(terminal.driver.database, {JobKind.NOTIFY: CountingAction(before=give_up)})
    failed = await failing.create_run()
    await failing.work()
    result = await terminal.type(f"jobs watch {failed.id} --json")
    assert (result.code, json.loads(result.stdout)["state"], result.stderr) == (
        1,
        "failed",
        "notifier: the job failed: full\n",
    )
    retried = await terminal.type_json(f"jobs retry {failed.id}")
    assert (retried["state"], retried["error"]) == ("queued", None)
    await terminal.type(f"jobs cancel {failed.id}")
    assert await terminal.refuse(f"jobs watch {failed.id}") == (1, "notifier: the job was cancelled\n")


async def test_save_show_switch_run_and_delete_a_schedule(terminal: Terminal) -> None:
    """A schedule is saved with options, listed, switched, run by hand and deleted, each for its owner."""
    words = ("--timing", "0 9 * * 1-5", "--option", "total=10", "--zone", "Europe/Berlin")
    saved = await terminal.type_json("schedules save nightly --action notify", *words)
    assert (saved["timing"], saved["options"], saved["enabled"]) == ("0 9 * * 1-5", {"total": 10}, True)
    assert await terminal.type_json("schedules list") == [saved]
    assert await terminal.type_json("schedules list --service shop") == []
    assert await terminal.type_json("schedules show nightly") == saved
    times = await terminal.type_json("schedules next nightly --count 3")
    assert {row["local"][11:19] for row in times} == {"09:00:00"}
    assert len((await terminal.type("schedules next nightly")).stdout.splitlines()) == 11
    off = await terminal.type_json("schedules disable nightly")
    assert (off["enabled"], off["next_at"], off["revision"]) == (False, None, 2)
    assert (await terminal.type_json("schedules disable nightly"))["revision"] == 2
    assert (await terminal.type_json("schedules enable nightly"))["next_at"] is not None
    first = await terminal.type_json("schedules run nightly --idempotency-key k1")
    again = await terminal.type_json("schedules run nightly --idempotency-key k1")
    assert (first["replayed"], again) == (False, {"job": first["job"], "replayed": True})
    assert (await terminal.driver.work(), (await terminal.type_json(f"jobs show {first['job']}"))["schedule"]) == (
        1,
        "nightly",
    )
    assert "nightly" in (await terminal.type("schedules list")).stdout
    assert (await terminal.type("schedules show nightly")).stdout.splitlines()[0] == "name      nightly"
    assert (await terminal.type("schedules delete nightly")).code == 0
    assert await terminal.refuse("schedules delete nightly") == (
        1,
        "notifier: there is no schedule named 'nightly'\n",
    )
    own = await terminal.type_json("schedules save nightly --service shop --action notify --timing", "every 15m")
    assert await terminal.type_json("schedules list --service shop") == [own]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--timing", "0 25 * * *"], "timing: bad hour in `0 25 * * *`"),
        (["--timing", "every 1d", "--zone", "Mars"], "zone: there is no time zone 'Mars'"),
        (["--timing", "every 1d", "--option", "color=red"], "options.color: no such option"),
        (["--timing", "every 1d", "--option", "total"], "--option 'total': write NAME=VALUE"),
        (["--timing", "every 1d", "--option", 'total="a\\u0000b"'], "schedule: a string contains NUL"),
    ],
)
async def test_a_faulty_schedule_is_refused(terminal: Terminal, words: list[str], line: str) -> None:
    """A wrong value names its field, exits with 2, and writes nothing."""
    code, message = await terminal.refuse("schedules save nightly --action notify", *words)
    assert code == 2
    assert message.startswith(f"notifier: {line}")
    assert message.count("\n") == 1
    assert await terminal.type_json("schedules list") == []


FILE = """
[schedules.purge]
timing = "0 3 * * *"
zone = "Europe/Berlin"
action = "purge"

[schedules.hourly]
timing = "every 1h"
action = "notify"
catch_up = "none"
options = {total = 5}
"""


async def test_apply_saves_all_or_none(terminal: Terminal, tmp_path: Path) -> None:
    """`apply` creates and changes the schedules of a file; `--dry-run` only says what it would do."""
    file = tmp_path / "schedules.toml"
    file.write_text(FILE)
    planned = await terminal.type_json(f"schedules apply {file} --dry-run")
    assert planned == [{"name": "hourly", "change": "created"}, {"name": "purge", "change": "created"}]
    assert await terminal.type_json("schedules list") == []
    assert await terminal.type_json(f"schedules apply {file}") == planned
    first = await terminal.type_json("schedules list")
    assert [(row["name"], row["catch_up"], row["options"]) for row in first] == [
        ("hourly", "none", {"total": 5}),
        ("purge", "one", {}),
    ]
    file.write_text(FILE.replace("every 1h", "every 2h"))
    assert await terminal.type_json(f"schedules apply {file}") == [
        {"name": "hourly", "change": "changed"},
        {"name": "purge", "change": "unchanged"},
    ]
    assert (await terminal.type_json("schedules list"))[1] == first[1]
    file.write_text(FILE.replace("every 1h", "every 3h").replace("Europe/Berlin", "Europe/Bern"))
    code, message = await terminal.refuse(f"schedules apply {file}")
    assert (code, message.startswith("notifier: schedules.purge.zone: there is no time zone 'Europe/Bern'")) == (
        2,
        True,
    )
    assert (await terminal.type_json("schedules show hourly"))["timing"] == "every 2h"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", ["it must have a table [schedules.NAME] for each schedule"]),
        (b"x = 1\n[schedules.a]\ntiming = 1", ["it must have a table [schedules.NAME] for each schedule, and nothing"]),
        (b"[schedules", ["it is not valid TOML"]),
        (b"x = " + b"[" * 5000, ["it is not valid TOML"]),
        (b"\xff\xfe", ["it is not UTF-8"]),
        (b"#" * (256 * 1024 + 1), ["at most 256 KiB"]),
        (b'[schedules]\na = "b"', ["schedules.a: "]),
        (
            b'[schedules.a]\ntiming = 5\n[schedules.b]\naction = "notify"\ntiming = "every 1h"\ncolor = 1',
            ["schedules.a.timing: ", "schedules.a.action: ", "schedules.b.color: "],
        ),
        (
            b'[schedules.A]\naction="notify"\ntiming="every 0h"\n[schedules.b]\naction="image"\ntiming="every 1h"',
            ["schedules.A.name: ", "schedules.A.timing: ", "schedules.b.action: "],
        ),
        (b'[schedules.a]\naction = "notify"\ntiming = "every 1h"\noptions = {total = 1979-05-27}', ["schedules.a: "]),
        (b'[schedules.a]\naction = "notify"\ntiming = "every 1h"\noptions = {total = nan}', ["schedules.a: "]),
    ],
)
async def test_each_fault_of_a_file_is_named(terminal: Terminal, tmp_path: Path, text: bytes, lines: list[str]) -> None:
    """Every fault of a file has a line with its schedule and field; nothing is written."""
    file = tmp_path / "schedules.toml"
    file.write_bytes(text)
    code, message = await terminal.refuse(f"schedules apply {file}")
    assert code == 2
    for line in lines:
        assert line in message
    assert message.count("\n") == len(lines)
    assert await terminal.type_json("schedules list") == []
    missing = await terminal.refuse(f"schedules apply {tmp_path}/missing.toml")
    assert missing[0] == 2


async def test_a_built_in_schedule_keeps_its_action(terminal: Terminal, tmp_path: Path) -> None:
    """A file cannot give a built-in schedule another action, and a command cannot delete it."""
    file = tmp_path / "schedules.toml"
    file.write_text(FILE)
    await terminal.type_json(f"schedules apply {file}")
    async with terminal.driver.database.write() as connection:
        await connection.exec_driver_sql("UPDATE schedule SET built_in = true WHERE name = 'purge'")
    file.write_text('[schedules.purge]\naction = "notify"\ntiming = "every 1h"')
    code, message = await terminal.refuse(f"schedules apply {file}")
    assert (code, message.partition(": it is built in")[0]) == (2, "notifier: schedules.purge.action")
    assert (await terminal.refuse("schedules delete purge"))[0] == 1
    assert (await terminal.type_json("schedules show purge"))["action"] == JobKind.PURGE
    assert (await terminal.type_json("schedules disable purge"))["enabled"] is False
    assert JobState.QUEUED.value not in (await terminal.type("jobs list")).stdout
