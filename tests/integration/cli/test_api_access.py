"""Where commands that call the API find its URL and key: flags, then variables, then the demo on this host."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine
from support.typed_commands import CommandResult, type_command

from notifier.cli import api_access
from notifier.cli.command import CommandError
from notifier.client import producer

KEY = "ntf_live_of_the_variable"
SEND = ("send", "--to", "ada@example.com", "--template", "welcome")


class _Listening(HTTPServer):
    """An API that always answers 503, and records the keys of its requests."""

    keys: list[str | None]


class _Handler(BaseHTTPRequestHandler):
    server: _Listening

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.keys.append(self.headers["authorization"])
        self.send_response(503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the name that the library has
        """Say nothing."""


@pytest.fixture
def listening() -> Iterator[_Listening]:
    with _Listening(("127.0.0.1", 0), _Handler) as server:
        server.keys = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An empty directory, and no `NOTIFIER_…` variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("NOTIFIER_URL", "NOTIFIER_API_KEY", "NOTIFIER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def _forward(folder: Path, *flags: str) -> CommandResult:
    """Forward one mail from a new producer table."""
    url = f"sqlite:///{folder / 'shop.sqlite3'}"
    engine, metadata = create_engine(url), MetaData()
    producer.define_table(metadata)
    metadata.create_all(engine)
    with engine.begin() as transaction:
        producer.enqueue(transaction, to="ada@example.com", template="welcome")
    engine.dispose()
    return type_command("forward", "--once", "--database-url", url, *flags)


@pytest.mark.parametrize("command", ["send", "forward"])
@pytest.mark.parametrize("flags", [False, True], ids=["variables", "flags"])
def test_url_and_key(
    terminal: pytest.MonkeyPatch, listening: _Listening, tmp_path: Path, command: str, *, flags: bool
) -> None:
    """Both commands use URL and key of the variables, unless flags are given."""
    url = f"http://127.0.0.1:{listening.server_port}"
    terminal.setenv("NOTIFIER_URL", "http://127.0.0.1:1" if flags else f" {url} ")
    terminal.setenv("NOTIFIER_API_KEY", "ntf_live_of_nobody" if flags else KEY)
    words = ("--url", url, "--key", KEY) if flags else ()
    ended = type_command(*SEND, *words) if command == "send" else _forward(tmp_path, *words)
    assert ended.code == 1
    assert listening.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize("command", ["send", "forward"])
def test_what_is_missing_is_said(terminal: pytest.MonkeyPatch, tmp_path: Path, command: str) -> None:
    """Without a key: exit 2, naming flag and variable. Without an API: the URL that was tried."""
    ended = type_command(*SEND) if command == "send" else _forward(tmp_path)
    assert (ended.code, ended.stderr.count("\n")) == (2, 1)
    assert "no API key for http://127.0.0.1:8000: set NOTIFIER_API_KEY" in ended.stderr
    terminal.setenv("NOTIFIER_URL", "http://127.0.0.1:1")
    terminal.setenv("NOTIFIER_API_KEY", KEY)
    ended = type_command(*SEND) if command == "send" else _forward(tmp_path)
    assert ended.code == (2 if command == "send" else 1)
    assert KEY not in ended.stderr
    if command == "send":
        assert ended.stderr.startswith("notifier: http://127.0.0.1:1 is out of reach: check --url or NOTIFIER_URL")


@pytest.mark.parametrize("folder", ["var/demo", "elsewhere"])
def test_the_key_of_a_demo_stays_on_this_host(terminal: pytest.MonkeyPatch, tmp_path: Path, folder: str) -> None:
    """The demo's key is found in both possible directories, and is never sent to another host."""
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "demo-key").write_text("ntf_live_of_the_demo\n")
    terminal.setenv("NOTIFIER_DATA_DIR", str(tmp_path / "elsewhere"))
    assert api_access.find_access("", "", "NOTIFIER_API_KEY").url == "http://127.0.0.1:8000"
    assert api_access.find_access("http://localhost:9000", " ", "NOTIFIER_API_KEY").key == "ntf_live_of_the_demo"
    for url in ("https://notifier.example.com", "http://127.0.0.1.example.com", "http://[", "nonsense"):
        with pytest.raises(CommandError):
            api_access.find_access(url, "", "NOTIFIER_API_KEY")
