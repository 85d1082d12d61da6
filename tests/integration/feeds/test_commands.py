"""`notifier feeds`: what each command prints, and that no secret is among its arguments or its output."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.seeded_installation import Keys
from support.typed_commands import type_command

SECRET = "canary-kanarienvogel"
URL = "https://feeds.example.org/prices.json"


@pytest.fixture
def folder(sqlite_database: tuple[str, Keys], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a seeded SQLite database, which the commands use."""
    monkeypatch.setenv("NOTIFIER_DATABASE_URL", sqlite_database[0])
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(tmp_path))
    return tmp_path


def show(*words: str) -> Any:
    """The JSON that a command prints."""
    ended = type_command("feeds", *words, "--json")
    assert ended.code == 0, ended.stderr
    assert "canary" not in ended.stdout + ended.stderr
    return json.loads(ended.stdout)


def test_a_feed_at_the_terminal(folder: Path) -> None:
    """A feed is saved with header fields from a file, listed, shown, fetched and deleted."""
    (folder / "headers").write_text(f"Authorization: Bearer {SECRET}\n\nX-Shop: 7\n")
    (folder / "schema.json").write_text('{"type": "object"}')
    options = ("--headers", str(folder / "headers"), "--schema", str(folder / "schema.json"), "--timeout", "5")
    (saved,) = show("save", "prices", URL, *options)
    assert (saved["name"], saved["status"], saved["url"], saved["revision"]) == ("prices", "new", URL, "-")
    (shown,) = show("show", "prices")
    assert (shown["headers"], shown["schema"], shown["timeout_seconds"]) == ("Authorization, X-Shop", "yes", 5)
    assert "headers: Authorization, X-Shop" in type_command("feeds", "show", "prices").stdout.splitlines()
    show("save", "prices", URL, "--service", "shop")  # another owner
    assert [feed["name"] for feed in show("list")] == ["prices"]
    assert show("show", "prices", "--service", "shop")[0]["headers"] == ""
    (job,) = show("fetch", "prices")
    assert (job["feed"], job["state"]) == ("prices", "queued")
    assert show("revisions", "prices") == []
    assert type_command("feeds", "delete", "prices").code == 0
    assert show("list") == []


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("save", "prices", "http://feeds.example.org/"), 2, "only https:// URLs are called"),
        (("save", "No", URL), 2, "lower-case letters"),
        (("save", "prices", URL, "--max-bytes", "3"), 2, "/max_bytes: at least 1024"),
        (("save", "prices", URL, "--headers", "missing"), 2, "--headers: missing: no such file"),
        (("save", "prices", URL, "--headers", "{folder}/twice"), 2, "--headers: line 2 is not `Name: value`"),
        (("save", "prices", URL, "--schema", "{folder}/twice"), 2, "is not valid JSON"),
        (("save", "prices", URL, "--schema", "{folder}/list"), 2, "is not a JSON object"),
        (("save", "prices", URL, "--schema", "{folder}/wrong"), 2, "/json_schema: not a JSON Schema"),
        (("save", "prices", URL, "--service", "nobody"), 2, "nobody"),
        (("show", "prices"), 1, "there is no feed named 'prices'"),
        (("fetch", "prices"), 1, "there is no feed named 'prices'"),
        (("confirm", "prices"), 1, "there is no feed named 'prices'"),
        (("delete", "prices"), 1, "there is no feed named 'prices'"),
    ],
)
def test_a_mistake_is_one_line(folder: Path, words: tuple[str, ...], code: int, reason: str) -> None:
    """Each mistake ends with its exit code and one line."""
    (folder / "twice").write_text(f"X-Key: {SECRET}\nx-key: b\n")
    (folder / "list").write_text("[]")
    (folder / "wrong").write_text('{"type": 3}')
    ended = type_command("feeds", *(word.format(folder=folder) for word in words))
    assert (ended.code, ended.stdout, ended.stderr.count("\n")) == (code, "", 1), ended.stderr
    assert reason in ended.stderr.replace("No such", "no such")
    assert "canary" not in ended.stderr
    assert show("list") == []
