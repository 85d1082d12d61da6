"""`notifier staff`: what the commands print, refuse and exit with."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.typed_commands import CommandResult, type_command


@pytest.fixture
def _own_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the commands an empty database of the test."""
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(tmp_path))
    assert type_command("db", "upgrade").code == 0


def _type_json(*words: str) -> Any:
    result = type_command("staff", *words, "--json")
    assert result.code == 0, result.stderr
    return json.loads(result.stdout)


def _refuse(*words: str) -> CommandResult:
    result = type_command("staff", *words)
    assert result.code > 0, result.stdout
    return result


@pytest.mark.usefixtures("_own_database")
def test_the_life_of_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person is created with a link, changed, disabled and enabled; the only admin stays."""
    made = type_command("staff", "create", "Ana@example.com", "--role", "admin", "--role", "support")
    assert made.code == 0, made.stderr
    link = made.stdout.splitlines()[-1]
    assert link.startswith("http://localhost:8000/console/welcome/")
    assert "NOTIFIER_CONSOLE__URL" in made.stderr
    monkeypatch.setenv("NOTIFIER_CONSOLE__URL", "https://mail.example.com/")
    (again,) = _type_json("link", "ana@example.com")
    assert again["link"].startswith("https://mail.example.com/console/welcome/")
    assert (again["name"], again["roles"], again["password"]) == ("Ana", "support,admin", "no")
    other = type_command("staff", "link", again["id"], "--url", "https://other.example.com")
    assert other.stdout.splitlines()[-1].startswith("https://other.example.com/console/welcome/")
    assert other.stderr == ""
    assert "only admin" in _refuse("disable", "ana@example.com").stderr
    (ben,) = _type_json("create", "ben@example.com", "--name", "Ben\x1b", "--role", "admin")
    assert ben["name"] == "Ben "
    assert _type_json("roles", "ana@example.com", "--role", "editor")[0]["roles"] == "editor"
    assert _type_json("roles", "ana@example.com")[0]["roles"] == "-"
    assert _type_json("disable", "ana@example.com")[0]["disabled"] != "-"
    assert "enable them first" in _refuse("link", "ana@example.com").stderr
    assert _type_json("enable", "ana@example.com")[0]["disabled"] == "-"
    assert [row["email"] for row in _type_json("list")] == ["ben@example.com", "ana@example.com"]
    assert _type_json("sessions", "ana@example.com") == []
    assert type_command("staff", "sign-out", "ana@example.com").stdout == "0 sessions ended\n"


@pytest.mark.usefixtures("_own_database")
def test_what_is_refused() -> None:
    """A wrong address or role is wrong use; a person who exists or does not exist is an error."""
    assert _refuse("create", "ana").code == 2
    wrong = _refuse("create", "ana@example.com", "--role", "king")
    assert wrong.code == 2
    assert '"support", "editor", "publisher", "operator" or "admin"' in wrong.stderr
    assert type_command("staff", "create", "ana@example.com").code == 0
    assert _refuse("create", "ANA@example.com").code == 1
    for command in ("disable", "enable", "link", "sessions", "sign-out", "roles"):
        assert _refuse(command, "nobody@example.com").code == 1, command
