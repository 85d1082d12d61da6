"""`notifier doctor` says which settings it has used and where they come from, and what to do about each finding."""

import json
import os
import re
from pathlib import Path

import pytest
from support.typed_commands import CommandResult, type_command

SECRET = "s3cr3t-word"
_ACT = re.compile(r"\b(set|run|check|correct|start|try|upgrade|choose|free|give|ask)\b", re.IGNORECASE)
RELAY = {
    "NOTIFIER_SMTP__HOST": "relay.invalid",
    "NOTIFIER_SMTP__USERNAME": "shop",
    "NOTIFIER_SMTP__PASSWORD": SECRET,
}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory, and an environment without any of our variables."""
    for name in list(os.environ):
        if name.startswith("NOTIFIER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write_dotenv(folder: Path, variables: dict[str, str]) -> None:
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    (folder / ".env").chmod(0o600)


def _read_marks(ended: CommandResult) -> dict[str, str]:
    """Each finding's mark, by its name."""
    findings = ended.stdout.partition("\n\n")[2].splitlines()
    return {line[6:].partition(" ")[0]: line[:4].strip() for line in findings}


def test_it_names_each_setting_and_its_origin(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Database, directory, relay, sender and recipients, from four places, without a secret; `--json` has the same."""
    (folder / "url").write_text(f"postgresql://ada:{SECRET}@127.0.0.1:1/mail\n")
    _write_dotenv(folder, RELAY | {"NOTIFIER_SMTP__PORT": "25", "NOTIFIER_RECIPIENTS__MODE": "live"})
    monkeypatch.setenv("NOTIFIER_DATABASE_URL_FILE", "url")
    monkeypatch.setenv("NOTIFIER_SMTP__PORT", "465")
    monkeypatch.setenv("NOTIFIER_SMTP", '{"security": "tls"}')
    ended, as_json = type_command("doctor"), type_command("doctor", "--json")
    assert [re.split(r" {2,}", line) for line in ended.stdout.partition("\n\n")[0].splitlines()] == [
        ["VARIABLE", "VALUE", "FROM"],
        ["NOTIFIER_DATABASE_URL", "PostgreSQL at 127.0.0.1:1, database mail as ada", "file url"],
        ["NOTIFIER_DATA_DIR", str(folder / "var"), "default"],
        ["NOTIFIER_SMTP__HOST", "relay.invalid", ".env"],
        ["NOTIFIER_SMTP__PORT", "465", "environment"],
        ["NOTIFIER_SMTP__SECURITY", "tls", "environment"],
        ["NOTIFIER_SMTP__USERNAME", "shop", ".env"],
        ["NOTIFIER_SMTP__PASSWORD", "set", ".env"],
        ["NOTIFIER_FROM", "Notifier <notifier@localhost.localdomain>", "default"],
        ["NOTIFIER_RECIPIENTS__MODE", "live", ".env"],
    ]
    report = json.loads(as_json.stdout)
    assert {setting["variable"]: setting["from"] for setting in report["settings"]}["NOTIFIER_SMTP__PORT"] == (
        "environment"
    )
    assert [finding["name"] for finding in report["findings"]] == list(_read_marks(ended))
    assert SECRET not in ended.stdout + as_json.stdout
    assert (ended.code, ended.stderr) == (1, "")


def test_every_finding_has_an_act(folder: Path) -> None:
    """Each line that is not ok says what to set, run, check or ask."""
    _write_dotenv(folder, RELAY | {"NOTIFIER_DATA_DIR": "file/data", "NOTIFIER_WEBHOOKS__CA_FILE": "missing.pem"})
    (folder / ".env").chmod(0o644)
    (folder / "file").touch()
    ended = type_command("doctor")
    marks = _read_marks(ended)
    wanted = {"migrations", "data_dir", "relay", "recipients", "webhooks_ca"}
    assert wanted <= {name for name, mark in marks.items() if mark == "BAD"}
    assert {".env", "sender"} <= {name for name, mark in marks.items() if mark == "warn"}
    for line in ended.stdout.splitlines():
        if line.startswith(("BAD", "warn")):
            assert _ACT.search(line), line


@pytest.mark.parametrize(
    ("variables", "mark"),
    [
        ({}, "ok"),
        ({"NOTIFIER_SMTP__HOST": "relay.invalid"}, "BAD"),
        ({"NOTIFIER_SMTP__HOST": "relay.invalid", "NOTIFIER_RECIPIENTS__ALLOW": " , "}, "BAD"),
        ({"NOTIFIER_SMTP__HOST": "relay.invalid", "NOTIFIER_RECIPIENTS__ALLOW": "@staff.example"}, "warn"),
        ({"NOTIFIER_SMTP__HOST": "relay.invalid", "NOTIFIER_RECIPIENTS__MODE": "live"}, "ok"),
    ],
)
def test_an_installation_that_can_mail_nobody_is_bad(folder: Path, variables: dict[str, str], mark: str) -> None:
    """An allow-list without an address, with a relay elsewhere, fails; a list with one is a warning."""
    _write_dotenv(folder, variables)
    assert _read_marks(type_command("doctor"))["recipients"] == mark


@pytest.mark.parametrize(("mode", "mark"), [(0o600, "ok"), (0o640, "warn"), (0o604, "warn")])
def test_who_can_read_the_secrets(folder: Path, mode: int, mark: str) -> None:
    """`.env` with a secret should be readable by its owner only; without one it does not matter."""
    _write_dotenv(folder, {"NOTIFIER_SMTP__PORT": "25"})
    (folder / ".env").chmod(mode)
    assert ".env" not in _read_marks(type_command("doctor"))
    _write_dotenv(folder, {"NOTIFIER_API_KEY": "k"})
    (folder / ".env").chmod(mode)
    assert _read_marks(type_command("doctor"))[".env"] == mark


def test_it_changes_no_file(folder: Path) -> None:
    """With a database that exists, and without one, the same files are there afterwards with the same content."""
    assert type_command("doctor").code == 1
    assert list(folder.iterdir()) == []
    assert type_command("db", "upgrade").code == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert _read_marks(type_command("doctor"))["database"] == "ok"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_wrong_setting_is_no_finding(folder: Path) -> None:
    """It ends `doctor` as it ends each command: one line, exit 2."""
    _write_dotenv(folder, {"NOTIFIER_SMTP__PORT": "smtp"})
    ended = type_command("doctor")
    assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "(in .env)" in ended.stderr
