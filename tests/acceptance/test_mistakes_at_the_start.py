"""Databases, directories, ports and certificates that cannot be used: one line with cause and act, exit 2."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from support import notifier_process, postgres_cluster
from support.mistakes import SECRET, Mistake, assert_explained
from support.notifier_process import NotifierProcess
from support.seeded_installation import Keys, SqliteSeed

SERVE = "serve --port 0"


def _database(url: str, cause: str, act: str, words: str = "db check") -> Mistake:
    """A wrong URL of the database."""
    return Mistake(words, cause, act, {"DATABASE_URL": url})


MISTAKES = [
    # URLs
    _database(f"mysql://ada:{SECRET}@127.0.0.1/mail", "begins with mysql://", "must begin with postgresql://"),
    _database(f"postgresql://ada:{SECRET}/#@127.0.0.1/mail", "cannot be read", "percent-encoded"),
    _database("localhost", "is no URL", "write postgresql://user:password@host/name"),
    _database("sqlite:///:memory:", "must name a file", "sqlite:///relative/path"),
    _database(f"postgresql://ada:{SECRET}@127.0.0.1:99999/mail", "has a port that is no number", "from 1 to 65535"),
    _database(f"postgresql://ada:{SECRET}@127.0.0.1/mail?sslmode=yes", "sslmode", "verify-full"),
    _database(f"postgresql://ada:{SECRET}@db.invalid/mail", "db.invalid", "NOTIFIER_DATABASE_URL"),
    _database(f"postgresql://ada:{SECRET}@127.0.0.1:1/mail", "refuses connections", "check that it is running"),
    # SQLite and its directory
    _database("sqlite:///missing/mail.sqlite3", "migrations: at nothing", "run `notifier db upgrade`", words=SERVE),
    Mistake("api", "needs PostgreSQL", "use `notifier serve`"),
    Mistake("sender", "needs PostgreSQL", "use `notifier serve`"),
    Mistake("db upgrade", "is a file", "NOTIFIER_DATA_DIR", files={"data": b""}),
    Mistake("db upgrade", "is no SQLite database", "choose another file",
            {"DATABASE_URL": "sqlite:///mail.sqlite3"}, {"mail.sqlite3": b"Dear Ada, this is a letter." * 99}),
    # what a server listens on and trusts
    Mistake("serve --host 192.0.2.1 --port 0", "cannot listen on 192.0.2.1", "such as 127.0.0.1"),
    Mistake(SERVE, "cannot listen on relay.invalid", "such as 127.0.0.1", {"API__HOST": "relay.invalid"}),
    Mistake(SERVE, "NOTIFIER_SMTP__CA_FILE: ca.pem", "there is no such file", {"SMTP__CA_FILE": "ca.pem"}),
    Mistake(SERVE, "NOTIFIER_SMTP__CA_FILE: ca.pem", "Give a file", {"SMTP__CA_FILE": "ca.pem"}, {"ca.pem": b"x"}),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_explained(mistake: Mistake, tmp_path: Path) -> None:
    """One line on stderr with the cause and what to do, exit 2."""
    assert_explained(mistake, tmp_path)


def test_a_wrong_sender_is_explained(sqlite_seed: SqliteSeed, tmp_path: Path) -> None:
    """A From that is no address ends `serve`, once the database is there."""
    url = sqlite_seed.copy(tmp_path)
    assert_explained(
        Mistake(SERVE, "NOTIFIER_FROM", "Shop <orders@shop.example>", {"DATABASE_URL": url, "FROM": "Shop"}), tmp_path
    )


@pytest.fixture(scope="module")
def running(sqlite_seed: SqliteSeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The data directory and the port of a server; the port is from a variable."""
    folder = tmp_path_factory.mktemp("running")
    sqlite_seed.copy(folder)
    port = notifier_process.find_free_port()
    env = notifier_process.build_environment(folder, API__PORT=str(port))
    with NotifierProcess("serve", env=env, cwd=folder) as server:
        assert server.wait_until_ready() == f"API on http://127.0.0.1:{port}"
        yield folder, port


@pytest.mark.parametrize("words", ["serve", "serve --port {port}", "inbox --port {port} --smtp-port 0"])
def test_a_port_in_use_is_explained(running: tuple[Path, int], tmp_path: Path, words: str) -> None:
    """The line names the port and the option, and for the API the variable."""
    _, port = running
    act = "--port" if words.startswith("inbox") else "--port or NOTIFIER_API__PORT"
    given = {} if "{port}" in words else {"API__PORT": str(port)}
    assert_explained(Mistake(words.format(port=port), f"port {port} is in use", act, given), tmp_path)


def test_a_port_for_metrics_in_use_is_explained(
    running: tuple[Path, int], sqlite_seed: SqliteSeed, tmp_path: Path
) -> None:
    """The line names the variable of the metrics' port."""
    settings = {"DATABASE_URL": sqlite_seed.copy(tmp_path), "API__METRICS_PORT": str(running[1])}
    assert_explained(Mistake(SERVE, "is in use", "NOTIFIER_API__METRICS_PORT", settings), tmp_path)


@pytest.mark.parametrize("words", [SERVE, "db upgrade"])
def test_a_data_directory_in_use_is_explained(running: tuple[Path, int], tmp_path: Path, words: str) -> None:
    """A second server, and a migration, name the directory and say to stop the server."""
    folder, _ = running
    assert_explained(Mistake(words, f"another process owns {folder}", "stop", {"DATA_DIR": str(folder)}), tmp_path)


@pytest.mark.parametrize(
    ("fault", "cause", "act"),
    [
        ("database", "has no database 'no_such_database'", "NOTIFIER_DATABASE_URL"),
        ("role", "the role 'no_such_role'", "NOTIFIER_DATABASE_URL"),
        ("rights", "may use no schema", "GRANT"),
        ("not migrated", "needs", "run `notifier db upgrade`"),
    ],
)
def test_a_server_that_refuses_is_explained(
    postgres_database: tuple[str, Keys], tmp_path: Path, fault: str, cause: str, act: str
) -> None:
    """Unknown database or role, no rights, no schema: one line with cause and act."""
    url, role = make_url(postgres_database[0]), f"reader_{postgres_cluster.make_database_name()}"
    changed = {
        "database": url.set(database="no_such_database"),
        "role": url.set(username="no_such_role", password=SECRET),
        "rights": url.set(username=role, password=SECRET),
        "not migrated": url,
    }[fault].render_as_string(hide_password=False)
    clear = ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    postgres_cluster.execute_statements(postgres_database[0], f"CREATE ROLE {role} LOGIN", *clear)
    try:
        words = "sender" if fault == "not migrated" else "db upgrade"
        assert_explained(Mistake(words, cause, act, {"DATABASE_URL": changed}), tmp_path)
    finally:
        postgres_cluster.execute_statements(postgres_database[0], f"DROP OWNED BY {role}", f"DROP ROLE {role}")
