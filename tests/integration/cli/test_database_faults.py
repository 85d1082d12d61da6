"""A database that cannot be used: every command ends with one line, and `doctor` continues with other checks."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer.main
from sqlalchemy import make_url
from support import postgres_cluster
from support.seeded_installation import Keys
from support.staff_people import STAFF_COMMANDS
from support.typed_commands import CommandResult, type_command

from notifier.cli.main import app

ID = "0190a5c4-0000-7000-8000-000000000000"
SECRET = "s3cr3t"
EXAMPLES = Path(__file__).parents[3] / "examples"
COMMANDS = (
    "capacity",
    *(f"db {change}" for change in ("upgrade", "check", "hold-restored")),
    "api --port 0",
    "sender",
    "serve --port 0",
    "services list",
    "services create shop",
    "services update shop --rate-per-minute 1",
    *STAFF_COMMANDS,
    "keys list",
    "keys create --admin",
    f"keys rotate {ID}",
    f"keys revoke {ID}",
    "templates list",
    "templates push",
    "templates pull",
    "templates diff",
    "find ada@example.com",
    "unknown",
    *(f"{act} {ID}" for act in ("show", "cancel", "retry")),
    f"resolve {ID} --as sent",
    "suppressions list",
    "suppressions add ada@example.com",
    "suppressions lift ada@example.com",
    "jobs list",
    *(f"jobs {change} {ID}" for change in ("show", "watch", "cancel", "pause", "resume", "retry")),
    "schedules list",
    "schedules save nightly --timing every-day --action purge",
    f"schedules apply {EXAMPLES / 'schedules.toml'}",
    *(f"schedules {change} purge" for change in ("show", "next", "enable", "disable", "run", "delete")),
    "feeds list",
    "feeds save prices https://shop.example/prices.json",
    *(f"feeds {change} prices" for change in ("show", "fetch", "confirm", "revisions", "delete")),
    "stats",
)
WITHOUT_DATABASE = {
    "demo", "doctor", "forward", "inbox", "init", "merge", "openapi", "send", "templates lint", "templates new",
    "templates preview", "templates render",
}  # fmt: skip


def _names(group: Any, before: str = "") -> Iterator[str]:
    """Every command, with the groups that it is in."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _names(command, f"{before}{name} ")
        else:
            yield before + name


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No `NOTIFIER_…` variables but the data directory; the current directory is the test's."""
    for name in list(os.environ):
        if name.startswith("NOTIFIER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFIER_DATA_DIR", str(tmp_path / "data"))
    return monkeypatch


def _assert_one_line(ended: CommandResult, *words: str, code: int = 2) -> None:
    assert (ended.code, ended.stdout) == (code, ""), ended
    assert ended.stderr.startswith("notifier: ")
    assert ended.stderr.count("\n") == 1
    assert SECRET not in ended.stderr
    for word in words:
        assert word in ended.stderr, ended.stderr


def _findings(ended: CommandResult) -> dict[str, str]:
    """Run `doctor`, and return its findings by name."""
    assert ended.stderr == ""
    assert SECRET not in ended.stdout
    return {line[6:].partition(" ")[0]: line for line in ended.stdout.splitlines()}


def test_every_command_is_tried_here() -> None:
    """Every command is in the list, or is known to need no database."""
    tried = {
        name for name in _names(typer.main.get_command(app)) for words in COMMANDS if f"{words} ".startswith(f"{name} ")
    }
    assert tried | WITHOUT_DATABASE == set(_names(typer.main.get_command(app)))


@pytest.mark.parametrize("words", [words for words in COMMANDS if not words.startswith("api")])
def test_every_command_names_a_server_that_is_not_there(environment: pytest.MonkeyPatch, words: str) -> None:
    """One line on stderr with host and port, exit 2, nothing on stdout and no password."""
    environment.setenv("NOTIFIER_DATABASE_URL", f"postgresql://ada:{SECRET}@127.0.0.1:1/postgres")
    _assert_one_line(type_command(*words.split()), "127.0.0.1:1", "refuses connections", "NOTIFIER_DATABASE_URL")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql://ada:{SECRET}/w#x@127.0.0.1/postgres", "percent-encoded"),
        (f"mysql://root:{SECRET}@127.0.0.1/x", "begins with mysql://"),
        (f"postgresql://ada:{SECRET}@no-such-host.invalid/x", "cannot be found"),
        ("postgresql://ada@/x?host=/no/such/directory", "refuses connections"),
        (f"postgresql://ada:{SECRET}@127.0.0.1:1,localhost:1/x", "127.0.0.1:1, localhost:1"),
        (f"postgresql://ada:{SECRET}@127.0.0.1:1/x?sslmode=verify-full", "sslrootcert"),
        (f"postgresql://ada:{SECRET}@127.0.0.1/x?sslmode=yes", "sslmode"),
    ],
)
def test_what_is_wrong_with_the_url(environment: pytest.MonkeyPatch, url: str, words: str) -> None:
    """The commands end; `doctor` reports it, runs its other checks and exits 1."""
    environment.setenv("HOME", str(Path.cwd()))
    environment.setenv("NOTIFIER_DATABASE_URL", url)
    _assert_one_line(type_command("db", "upgrade"), words)
    _assert_one_line(type_command("keys", "list"), words)
    ended = type_command("doctor")
    findings = _findings(ended)
    assert ended.code == 1
    assert findings["database"].startswith("BAD")
    assert words in findings["database"]
    assert {"relay", "recipients", "Python"} <= findings.keys()
    assert list(Path.cwd().iterdir()) == []


@pytest.fixture
def restricted(
    postgres_database: tuple[str, Keys], postgres_server: postgres_cluster.PostgresServer
) -> Iterator[tuple[str, str]]:
    """The URL of a database, and a role with only the right to log in."""
    url, role = postgres_database[0], postgres_cluster.make_database_name()
    postgres_cluster.execute_statements(url, f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    yield url, role
    postgres_cluster.execute_statements(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def _with(url: str, *, password: str | None = None, **parts: Any) -> str:
    parsed = make_url(url).set(**parts)
    return (parsed if password is None else parsed.set(password=password)).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("database", "has no database 'no_such_database'"),
        ("role", "the role 'no_such_role'"),
        ("rights", "GRANT"),
        ("full", "has no connection left"),
        ("read-only", "is read-only"),
        ("search_path", "search_path"),
        ("standby", "target_session_attrs"),
        ("options", "refuses the options"),
        ("newer", "at 9999, which this release does not know"),
    ],
)
def test_what_a_server_refuses(
    environment: pytest.MonkeyPatch, restricted: tuple[str, str], fault: str, words: str
) -> None:
    """Unknown database and role, no rights, no room, a replica, another schema: each says what to do."""
    url, role = restricted
    changed = {
        "database": _with(url, database="no_such_database"),
        "role": _with(url, username="no_such_role", password=SECRET),
        "rights": _with(url, username=role, password=SECRET),
        "full": _with(url, username=role, password=SECRET),
        "read-only": _with(url) + "&options=-c%20default_transaction_read_only%3Don",
        "search_path": _with(url) + "&options=-c%20search_path%3Dno_such_schema",
        "standby": _with(url) + "&target_session_attrs=read-write&options=-c%20default_transaction_read_only%3Don",
        "options": _with(url) + "&options=-c%20no_such_setting%3D1",
        "newer": url,
    }[fault]
    if fault == "full":
        postgres_cluster.execute_statements(url, f"ALTER ROLE {role} CONNECTION LIMIT 0")
    if fault == "newer":
        postgres_cluster.execute_statements(url, "UPDATE alembic_version SET version_num = '9999'")
    if fault in {"rights", "read-only", "search_path"}:
        postgres_cluster.execute_statements(
            url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "GRANT USAGE ON SCHEMA public TO PUBLIC"
        )
    environment.setenv("NOTIFIER_DATABASE_URL", changed)
    _assert_one_line(type_command("db", "upgrade"), words)
    ended = type_command("doctor")
    assert (ended.code, "Python" in _findings(ended)) == (1, True)


def _spoil(folder: Path, fault: str) -> None:
    """Make a data directory unusable."""
    file = folder / "notifier.sqlite3"
    if fault == "a file":
        folder.write_text("")
        return
    if fault == "below a file":
        folder.parent.joinpath("file").write_text("")
        return
    folder.mkdir()
    if fault == "no database":
        file.write_bytes(b"This is a text, and not a database at all." * 100)
    elif fault == "a directory":
        file.mkdir()
    elif fault == "another schema":
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE alembic_version (version_num text)")
            connection.execute("INSERT INTO alembic_version VALUES ('9999')")
        connection.close()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("a file", "is a file"),
        ("below a file", "is a file"),
        ("no database", "is no SQLite database"),
        ("a directory", "cannot be opened"),
        ("another schema", "at 9999, which this release does not know"),
    ],
)
def test_a_data_directory_that_is_unfit(
    environment: pytest.MonkeyPatch, tmp_path: Path, fault: str, words: str
) -> None:
    """A file in its place is named, left unchanged, and reported by `doctor`."""
    folder = tmp_path / "data"
    _spoil(folder, fault)
    if fault == "below a file":
        environment.setenv("NOTIFIER_DATA_DIR", str(tmp_path / "file" / "data"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ended = type_command("doctor")
    assert (ended.code, words in ended.stdout, "Python" in _findings(ended)) == (1, True, True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    _assert_one_line(type_command("db", "upgrade"), words)


@pytest.mark.parametrize(
    "name", ["plain", "a b", "a%2Fb", "who?", "a#b", "100%", "ü", ":memory:", "file:x", "a&b=c;d'e"]
)
def test_a_path_is_a_path(environment: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """The database is created in the data directory, whatever its name."""
    for place in (tmp_path / name, Path("relative") / name):
        environment.setenv("NOTIFIER_DATA_DIR", str(place))
        assert type_command("db", "upgrade").stdout.startswith("at ")
        assert type_command("db", "check").code == 0
        assert sorted(path.name for path in place.iterdir()) == ["lock", "notifier.sqlite3"]
    assert {path.name for path in tmp_path.iterdir()} == {name, "relative"}


@pytest.mark.parametrize(
    "words", [words for words in COMMANDS if words.split()[0] not in {"db", "api", "sender", "serve"}]
)
def test_before_the_first_migration_nothing_is_made(
    environment: pytest.MonkeyPatch, tmp_path: Path, words: str
) -> None:
    """Each command says to run `notifier db upgrade`, exits with 2 and creates nothing."""
    _assert_one_line(type_command(*words.split()), "does not exist yet", "notifier db upgrade")
    assert list(tmp_path.iterdir()) == []


def test_doctor_makes_nothing(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`doctor` reports a missing database file, and creates none."""
    environment.delenv("NOTIFIER_DATA_DIR")
    ended = type_command("doctor", "--json")
    assert (ended.code, "does not exist yet" in ended.stdout) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_doctor_goes_on_after_a_wrong_sender_or_certificate(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wrong From address and a missing certificate file are findings beside the others."""
    environment.setenv("NOTIFIER_FROM", "nobody")
    environment.setenv("NOTIFIER_SMTP__CA_FILE", str(tmp_path / "missing.pem"))
    environment.setenv("NOTIFIER_SMTP__SECURITY", "tls")
    findings = _findings(type_command("doctor"))
    assert "NOTIFIER_FROM" in findings["sender"]
    assert "NOTIFIER_SMTP__CA_FILE" in findings["relay"]
    assert "Python" in findings


def test_a_wrong_password_is_named_and_not_shown(environment: pytest.MonkeyPatch) -> None:
    """The error of a server for a wrong password; the tests' own server accepts every login."""
    from notifier.db.database_errors import explain_database_error  # noqa: PLC0415
    from notifier.db.database_url import parse_database_url  # noqa: PLC0415

    address = parse_database_url(f"postgresql://ada:{SECRET}@db.example.com/x")
    error = asyncpg.InvalidPasswordError('password authentication failed for user "ada"')
    assert "refuses the password of the role 'ada'" in (explain_database_error(error, address) or "")
