"""The command line: what it refuses, prints and exits with."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from support import notifier_process
from support.notifier_process import NotifierProcess
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Keys


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A directory of its own with a migrated SQLite in it."""
    environment = notifier_process.build_environment(tmp_path)
    notifier_process.run_notifier("db", "upgrade", env=environment)
    return environment


@pytest.mark.parametrize("command", ["api", "sender"])
def test_api_and_sender_alone_refuse_sqlite(env: dict[str, str], command: str) -> None:
    """`api` and `sender` alone exit with 2 on SQLite, which takes one process, and name the alternative."""
    refused = notifier_process.run_notifier(command, env=env, check=False)
    assert refused.returncode == 2
    assert "notifier serve" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_an_unmigrated_database_is_named(tmp_path: Path) -> None:
    """`serve` on an empty database names the command to run; `db check` exits with 1."""
    env = notifier_process.build_environment(tmp_path)
    refused = notifier_process.run_notifier("serve", "--port", "0", env=env, check=False)
    assert (refused.returncode, "notifier db upgrade" in refused.stderr) == (2, True)
    assert notifier_process.run_notifier("db", "check", env=env, check=False).returncode == 1
    assert notifier_process.run_notifier("db", "upgrade", env=env).stdout == "at 0017\n"
    assert notifier_process.run_notifier("db", "check", env=env).returncode == 0


def test_a_writing_command_respects_a_running_server(env: dict[str, str]) -> None:
    """While a server owns the SQLite file, writing commands refuse with that reason."""
    with NotifierProcess("serve", "--port", "0", env=env) as server:
        server.wait_until_ready()
        refused = notifier_process.run_notifier("services", "create", "shop", env=env, check=False)
    assert refused.returncode == 2
    assert "set NOTIFIER_URL to its address and NOTIFIER_ADMIN_KEY" in refused.stderr


def test_keys_belong_to_services(env: dict[str, str]) -> None:
    """A key needs a service and is the last line of stdout; unknown scopes are refused with the known ones."""
    missing = notifier_process.run_notifier("keys", "create", "--service", "shop", env=env, check=False)
    assert (missing.returncode, missing.stderr) == (2, "notifier: --service: there is no service named 'shop'\n")
    notifier_process.run_notifier("services", "create", "shop", "--from-domain", "shop.example", env=env)
    twice = notifier_process.run_notifier("services", "create", "shop", env=env, check=False)
    assert (twice.returncode, twice.stderr) == (1, "notifier: there is a service named 'shop' already\n")
    created = notifier_process.run_notifier(
        "keys", "create", "--service", "shop", "--scope", "notifications:send", env=env
    )
    assert created.stdout.splitlines()[-1].startswith("ntf_live_")
    wrong = notifier_process.run_notifier(
        "keys", "create", "--service", "shop", "--scope", "everything", env=env, check=False
    )
    assert wrong.returncode == 2
    assert "notifications:read" in wrong.stderr


def test_lint_prints_file_and_line_of_a_mistake(env: dict[str, str], tmp_path: Path) -> None:
    """Lint prints file and line of a mistake, and exits with 1."""
    broken = tmp_path / "templates" / "broken"
    broken.mkdir(parents=True)
    (broken / "template.toml").write_text('name = "Broken"\n')
    (broken / "sample.json").write_text("{}")
    (broken / "subject.txt").write_text("Hello")
    (broken / "body.html").write_text("<p>\n{% for x in %}\n</p>")
    lint = notifier_process.run_notifier("templates", "lint", "--dir", str(broken.parent), env=env, check=False)
    assert lint.returncode == 1
    assert lint.stdout.startswith(f"{broken}/body.html:2")


def test_doctor_names_what_is_wrong(env: dict[str, str]) -> None:
    """`doctor` exits with 1 on an unreachable relay and prints its address; `--json` has the same findings."""
    port = notifier_process.find_free_port()
    sick = notifier_process.run_notifier("doctor", env=env | {"NOTIFIER_SMTP__PORT": str(port)}, check=False)
    assert sick.returncode == 1
    assert f"BAD   relay       127.0.0.1:{port}" in sick.stdout
    report = json.loads(notifier_process.run_notifier("doctor", "--json", env=env, check=False).stdout)
    names = [finding["name"] for finding in report["findings"]]
    assert names[:7] == ["database", "migrations", "clock", "connections", "webhooks", "feeds", "data_dir"]
    assert names[7:11] == ["file_modes", "relay", "sender", "recipients"]
    assert names[11:] == ["aiosmtplib", "Jinja2", "Python", "SQLite"]


async def test_doctor_and_send_in_a_healthy_installation(
    sqlite_database: tuple[str, Keys], relay: ScriptedRelay, tmp_path: Path
) -> None:
    """With a working relay `doctor` exits with 0, and `send` follows one mail to its 250."""
    url, keys = sqlite_database
    env = notifier_process.build_environment(tmp_path, DATABASE_URL=url, SMTP__PORT=str(relay.port))
    healthy = await asyncio.to_thread(notifier_process.run_notifier, "doctor", env=env)
    assert "BAD" not in healthy.stdout
    port = notifier_process.find_free_port()
    with NotifierProcess("serve", "--port", str(port), env=env, fresh=True) as server:
        await asyncio.to_thread(server.wait_until_ready)
        words = ("--to", "bob@example.com", "--template", "welcome", "--var", "name=Bob", "--var", "product=Larkspur")
        where = ("--url", f"http://127.0.0.1:{port}", "--key", keys.shop)
        sent = await asyncio.to_thread(notifier_process.run_notifier, "send", *words, *where, env=env)
        wrong = await asyncio.to_thread(
            notifier_process.run_notifier, "send", *words[:-2], *where, env=env, check=False
        )
    assert sent.stdout.splitlines()[-1] == "sent"
    assert "250" in sent.stdout
    assert (wrong.returncode, "/variables/product" in wrong.stderr) == (2, True)


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    """A wrong setting is named in one line, with exit code 2."""
    env = notifier_process.build_environment(
        tmp_path, SMTP__USERNAME="u", SMTP__PASSWORD="s3cr3t-word", SMTP__SECURITY="none"
    )
    refused = notifier_process.run_notifier("doctor", env=env, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("notifier: NOTIFIER_SMTP: a password is never sent in clear")
    assert "s3cr3t-word" not in refused.stderr


async def test_drain_ends_when_nothing_is_due(
    postgres_database: tuple[str, Keys], relay: ScriptedRelay, tmp_path: Path
) -> None:
    """`sender --drain` exits with 0 once nothing is due."""
    url, _ = postgres_database
    env = notifier_process.build_environment(tmp_path, DATABASE_URL=url, SMTP__PORT=str(relay.port))
    ended = await asyncio.to_thread(notifier_process.run_notifier, "sender", "--drain", env=env)
    assert (ended.returncode, ended.stdout) == (0, "sender ready\n")


async def test_a_sender_shows_metrics_and_readiness(
    postgres_database: tuple[str, Keys], relay: ScriptedRelay, tmp_path: Path
) -> None:
    """A sender serves /readyz and /metrics on its own port."""
    url, _ = postgres_database
    port = notifier_process.find_free_port()
    env = notifier_process.build_environment(
        tmp_path, DATABASE_URL=url, SMTP__PORT=str(relay.port), SENDER__METRICS_PORT=str(port)
    )
    with NotifierProcess("sender", env=env) as sender:
        await asyncio.to_thread(sender.wait_until_ready)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            ready = await client.get("/readyz")
            metrics = (await client.get("/metrics")).text
        assert await asyncio.to_thread(sender.stop) == 0
    assert (ready.status_code, [check["name"] for check in ready.json()["checks"]]) == (
        200,
        ["database", "migrations", "journal", "relay"],
    )
    assert 'notifier_due_age_seconds{kind="email",priority="high"} 0.0' in metrics


def test_help_is_light() -> None:
    """`--help` imports none of the heavy libraries, so that it takes less than 0.3 s."""
    code = (
        "import sys; from notifier.cli.main import app; app(['--help'], standalone_mode=False);"
        "print(sorted({'sqlalchemy', 'fastapi', 'pydantic', 'jinja2', 'uvicorn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
