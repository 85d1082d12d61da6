"""`notifier init` as an operator uses it: with options, on a terminal, twice, and with mistakes."""

import asyncio
import os
import pty
import re
import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import notifier_process, postgres_cluster
from support.protected_relay import HOST, PASSWORD, open_protected_relay
from support.scripted_relay import HANG, ScriptedRelay

GOOD = {
    "--relay": "",  # filled in with the relay's address
    "--username": "apikey",
    "--password-file": "password",
    "--from": "Shop <mail@shop.example>",
    "--recipients": "live",
}


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[ScriptedRelay]:
    """A relay with STARTTLS and a login."""
    async with open_protected_relay(tmp_path) as relay:
        yield relay


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a shell in an empty directory, beside which there is a file with the password."""
    folder = tmp_path / "mail"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("password").write_text(PASSWORD + "\n")
    plain = notifier_process.build_environment(tmp_path) | {"NOTIFIER_SMTP__CA_FILE": str(tmp_path / "ca.pem")}
    del plain["NOTIFIER_DATA_DIR"]
    return plain


async def _init(
    relay: ScriptedRelay, env: dict[str, str], /, *flags: str, **options: str
) -> subprocess.CompletedProcess[str]:
    """Run the command with good options, except those that are given; an empty one is left out."""
    good = GOOD | {"--relay": f"{HOST}:{relay.port}"}
    chosen = good | {f"--{name.replace('_', '-').strip('-')}": value for name, value in options.items()}
    words = [word for name, value in chosen.items() if value for word in (name, value)]
    return await asyncio.to_thread(notifier_process.run_notifier, "init", *words, *flags, env=env, check=False)


def _read_dotenv() -> str:
    return Path(".env").read_text()


def _write_dotenv(text: str) -> None:
    Path(".env").write_text(text)


def _get_key(text: str) -> str:
    (key,) = re.findall(r"^NOTIFIER_API_KEY=(.+)$", text, re.MULTILINE)
    return str(key)


def _move_admin_key(text: str) -> str:
    """Move the admin key from `.env` into a file."""
    (key,) = re.findall(r"^NOTIFIER_ADMIN_KEY=(.+)$", text, re.MULTILINE)
    Path("admin-key").write_text(key)
    return text.replace(f"NOTIFIER_ADMIN_KEY={key}", "NOTIFIER_ADMIN_KEY_FILE=admin-key")


async def test_repeating_it_is_safe(relay: ScriptedRelay, env: dict[str, str]) -> None:
    """Each step is told; `.env` is private; what exists is kept; a lost key is replaced; a change needs --force."""
    _write_dotenv("# mine\nOTHER=1")
    first = await _init(relay, env, admin="ada@shop.example")
    assert (first.returncode, first.stderr) == (0, "")
    steps = ["relay", "database", "sender", "recipients", ".env", "schema", "templates", "key", "key"]
    assert [line.split()[0] for line in first.stdout.splitlines()[: len(steps)]] == steps
    assert re.search(r"^  http://127\.0\.0\.1:8000/console/welcome/\S+$", first.stdout, re.MULTILINE)
    written = _read_dotenv()
    assert written.startswith("# mine\nOTHER=1\nNOTIFIER_SMTP__HOST=127.0.0.2\n")
    assert (_get_mode(".env"), PASSWORD in first.stdout + written) == (0o600, False)

    shell = env | {"NOTIFIER_URL": "http://localhost:9000"}
    again = await _init(
        relay, shell, **dict.fromkeys(("relay", "username", "password_file", "from_", "recipients"), "")
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.count("in .env is kept\n") == 2
    assert "5 unchanged\n" in again.stdout
    assert again.stdout.endswith("which would win over .env:\n\n  unset NOTIFIER_URL\n")
    assert _read_dotenv() == written

    refused = await _init(relay, env, from_="other@shop.example")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "notifier: .env has another NOTIFIER_FROM: give --force to replace it\n"
    assert _read_dotenv() == written
    assert (await _init(relay, env, "--force", from_="other@shop.example")).returncode == 0
    written = written.replace("'Shop <mail@shop.example>'", "other@shop.example")
    assert _read_dotenv() == written

    _write_dotenv(_move_admin_key(written.replace(_get_key(written), "")))
    replaced = await _init(relay, env, from_="")
    assert "NOTIFIER_API_KEY in .env is new; one from before, if any, is valid until" in replaced.stdout
    assert "NOTIFIER_ADMIN_KEY in .env is kept\n" in replaced.stdout
    assert _read_dotenv() == _move_admin_key(written.replace(_get_key(written), _get_key(_read_dotenv())))

    written = _read_dotenv()
    port = {"NOTIFIER_API__PORT": str(notifier_process.find_free_port())}
    with notifier_process.NotifierProcess("serve", env=env | port) as server:
        await asyncio.to_thread(server.wait_until_ready)
        beside = await _init(relay, env, from_="")
    assert (beside.returncode, beside.stderr.count("\n")) == (2, 1)
    assert "another process owns var" in beside.stderr
    assert _read_dotenv() == written


def _get_mode(name: str) -> int:
    return stat.S_IMODE(Path(name).stat().st_mode)


async def test_postgresql(
    relay: ScriptedRelay, env: dict[str, str], postgres_server: postgres_cluster.PostgresServer
) -> None:
    """A hosted database is migrated and filled; its password is in `.env` only."""
    name = postgres_cluster.make_database_name()
    await asyncio.to_thread(
        postgres_cluster.execute_statements, postgres_server.url("postgres"), f"CREATE DATABASE {name}"
    )
    done = await _init(relay, env, database_url=postgres_server.url(name))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        f"^NOTIFIER_DATABASE_URL='?{re.escape(postgres_server.url(name))}'?$", _read_dotenv(), re.MULTILINE
    )
    assert postgres_server.url(name) not in done.stdout


MISTAKES: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    # name: options, variables, a part of the line
    "no relay": ({"relay": ""}, {}, "--relay is missing: give it, or set NOTIFIER_SMTP__HOST"),
    "no password": ({"password_file": ""}, {}, "--password-file is missing"),
    "no sender": ({"from_": ""}, {}, "--from is missing"),
    "nobody may be mailed": ({"recipients": ""}, {}, "--recipients is missing"),
    "wrong password": ({}, {"RELAY_USERS": "other"}, "535 5.7.8 wrong user name or password"),
    "relay silent": ({}, {"RELAY_GREETING": HANG}, "Timed out"),
    "wrong port": ({"relay": f"{HOST}:1"}, {}, f"{HOST}:1"),
    "port is a word": ({"relay": f"{HOST}:smtp"}, {}, "NOTIFIER_SMTP__PORT: must be a whole number"),
    "security is unknown": ({"security": "ssl"}, {}, "NOTIFIER_SMTP__SECURITY: must be"),
    "password in clear": ({"security": "none"}, {}, "a password is never sent in clear"),
    "password file missing": ({"password_file": "passwort"}, {}, "there is no such file"),
    "sender without domain": ({"from_": "shop"}, {}, "write an address such as"),
    "recipient without domain": ({"recipients": "ada"}, {}, "'ada' is neither an address nor a domain"),
    "admin without domain": ({"admin": "ada"}, {}, "--admin"),
    "database out of reach": ({"database_url": f"postgresql://u:swordfish@{HOST}:1/x"}, {}, HOST),
    "database of another kind": ({"database_url": "mysql://u@h/x"}, {}, "must begin with postgresql://"),
    "variable contradicts": ({}, {"NOTIFIER_FROM": "other@shop.example"}, "NOTIFIER_FROM is set in the environment"),
    "variable misspelt": ({}, {"NOTIFIER_SMPT__HOST": HOST}, "did you mean NOTIFIER_SMTP__HOST"),
    "directory is a file": ({}, {"NOTIFIER_DATA_DIR": "password"}, "password"),
}


@pytest.mark.parametrize("case", MISTAKES)
async def test_a_mistake_is_one_line_and_writes_nothing(case: str, relay: ScriptedRelay, env: dict[str, str]) -> None:
    """The line names the cause; exit code 2; no secret is shown, and there is neither `.env` nor a database."""
    options, variables, expected = MISTAKES[case]
    relay.greeting = variables.pop("RELAY_GREETING", relay.greeting)
    relay.users = {variables.pop("RELAY_USERS", "apikey"): PASSWORD}
    done = await _init(relay, env | variables, **options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert expected in done.stderr
    assert done.stderr.startswith("notifier: ")
    assert not re.search(f"{PASSWORD}|swordfish", done.stdout + done.stderr)
    assert [path.name for path in Path.cwd().iterdir()] == ["password"]


@pytest.mark.parametrize("place", [".env is a directory", "no file can be made"])
async def test_a_dotenv_that_cannot_be_written(place: str, relay: ScriptedRelay, env: dict[str, str]) -> None:
    """The line says so, before or after the checks; nothing was made."""
    folder = Path.cwd()
    if place == ".env is a directory":
        folder.joinpath(".env").mkdir()
    else:
        os.chdir("/proc")  # a directory in which root cannot create files either
    done = await _init(relay, env | {"NOTIFIER_DATA_DIR": str(folder / "var")}, password_file=str(folder / "password"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert ".env cannot be written" in done.stderr
    assert not (folder / "var").exists()


async def test_a_terminal_is_asked_and_asked_again(relay: ScriptedRelay, env: dict[str, str]) -> None:
    """Questions in turn; after a fault, those that it is about come again. The password is not echoed."""
    answers = [
        ("Database", ""),
        ("Relay", f"{HOST}:{relay.port}"),
        ("User name", "apikey"),
        ("Password", "wrong"),
        ("From", "mail@shop.example"),
        ("Who may be mailed", "ada"),
        ("Who may be mailed", "live"),
        ("Relay", f"{HOST}:{relay.port}"),
        ("User name", "apikey"),
        ("Password", PASSWORD),
    ]
    code, shown = await asyncio.to_thread(_answer_questions, answers, env)
    assert code == 0, shown
    assert shown.count("'ada' is neither an address nor a domain") == 1
    assert shown.count("535 5.7.8 wrong user name or password") == 1
    assert (PASSWORD in shown, "wrong\r" in shown) == (False, False)
    assert f"NOTIFIER_SMTP__PASSWORD='{PASSWORD}'\n" in _read_dotenv()


def _answer_questions(answers: list[tuple[str, str]], env: dict[str, str]) -> tuple[int, str]:
    """Type an answer after each question; return exit status and what the terminal showed."""
    mine, theirs = pty.openpty()
    command = [str(notifier_process.NOTIFIER), "init"]
    process = subprocess.Popen(
        command, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, close_fds=True
    )
    os.close(theirs)
    shown = ""
    seen = 0
    for question, answer in answers:
        while question not in shown[seen:]:
            shown += os.read(mine, 65536).decode()
        seen = shown.index(question, seen) + len(question)
        while not shown[seen:].endswith(": "):
            shown += os.read(mine, 65536).decode()
        seen = len(shown)
        os.write(mine, f"{answer}\n".encode())
    while True:
        try:
            more = os.read(mine, 65536)
        except OSError:  # Linux: the other side is closed
            break
        shown += more.decode()
    os.close(mine)
    return process.wait(100), shown
