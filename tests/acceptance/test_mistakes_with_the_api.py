"""A wrong URL, a wrong key or a wrong request: one line with cause and act; exit 1 only for what does not exist."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support import notifier_process
from support.mistakes import SECRET, Mistake, assert_explained
from support.notifier_process import NotifierProcess
from support.seeded_installation import Keys, SqliteSeed

ID = "0190a5c4-0000-7000-8000-000000000000"
SEND = "send --to bob@example.com --template welcome --var name=Bob --var product=Larkspur"
UNREACHABLE = "is out of reach"
PRODUCER = f"mysql://ada:{SECRET}@127.0.0.1/mail"


class _Page(BaseHTTPRequestHandler):
    """A web site that is no API."""

    def do_GET(self) -> None:
        page = b"<!doctype html><title>Welcome</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Print nothing."""


@dataclass(frozen=True)
class Places:
    """The addresses and keys that a mistake's settings may name."""

    api: str
    site: str
    keys: Keys

    def fill(self, settings: dict[str, str]) -> dict[str, str]:
        """Replace the names by the real addresses and keys."""
        known = {"{api}": self.api, "{site}": self.site, "{tls}": self.api.replace("http:", "https:")}
        known |= {"{shop}": self.keys.shop, "{other}": self.keys.other, "{reader}": self.keys.reader}
        return {name: known.get(value, value) for name, value in settings.items()}


@pytest.fixture(scope="module")
def places(sqlite_seed: SqliteSeed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """A server with two services, and a web site."""
    folder = tmp_path_factory.mktemp("server")
    sqlite_seed.copy(folder)
    site = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=site.serve_forever)
    thread.start()
    env = notifier_process.build_environment(folder, API__PORT="0")
    with NotifierProcess("serve", env=env, cwd=folder) as server:
        api = server.wait_until_ready().removeprefix("API on ")
        yield Places(api=api, site=f"http://127.0.0.1:{site.server_port}", keys=sqlite_seed.keys)
    site.shutdown()
    thread.join()
    site.server_close()


def _call(words: str, cause: str, act: str, url: str = "{api}", key: str = "{shop}", code: int = 2) -> Mistake:
    """A command that calls an API."""
    return Mistake(words, cause, act, {"URL": url, "API_KEY": key}, code=code)


MISTAKES = [
    # the URL
    _call(SEND, UNREACHABLE, "NOTIFIER_URL", "http://127.0.0.1:1"),
    _call(SEND, UNREACHABLE, "NOTIFIER_URL", "http://api.invalid"),
    _call(SEND, UNREACHABLE, "NOTIFIER_URL", "{tls}"),
    _call("keys list", UNREACHABLE, "--local", "http://127.0.0.1:1"),
    _call(SEND, "the URL must be that of the API", "such as https://notifier.example.com", "nonsense"),
    _call(SEND, "the reply is not JSON", "is the URL that of Notifier's API?", "{site}"),
    _call("keys list", "the reply is not JSON", "is the URL that of Notifier's API?", "{site}"),
    Mistake(SEND, ".env, line 1", "close its quotes", {"API_KEY": "k"}, {".env": b"NOTIFIER_URL='http://h\n"}),
    # the key
    _call(SEND, "no API key", "set NOTIFIER_API_KEY", key=""),
    _call(SEND, "does not accept the key in NOTIFIER_API_KEY", "set another", key=SECRET),
    _call(SEND, "does not accept the key in NOTIFIER_API_KEY", "set another", key=f"ntf_live_{SECRET * 4}"),
    _call(SEND, "printable ASCII characters", "without spaces", key=f"{SECRET}\n{SECRET}"),
    _call(SEND, "lacks the scope notifications:send", "NOTIFIER_API_KEY", key="{reader}"),
    _call("keys list", "lacks the scope keys:manage", "NOTIFIER_API_KEY"),
    _call("services create billing", "lacks the scope admin", "NOTIFIER_API_KEY"),
    Mistake(SEND, "NOTIFIER_API_KEY_FILE: key", "create it, or correct the path", {"API_KEY_FILE": "key"}),
    # the request
    _call("send --to bob@example.com --template welcom", "/template", "there is no template 'welcom'"),
    _call("send --to bob@example.com --template welcome", "/variables/name", "the template needs this variable"),
    _call("send --to bob --template welcome", "/to", "must have an @-sign"),
    _call("find bob@example.com --since soon", "--since", "such as 7d"),
    _call("show 7", "'7' is not the id", "first 8 digits"),
    _call("forward", "no database", "set NOTIFIER_PRODUCER_DATABASE_URL"),
    # what does not exist, or belongs to another service
    _call(f"show {ID}", "there is no such notification", "no such", key="{other}", code=1),
    _call(f"cancel {ID}", "there is no such notification", "no such", code=1),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_explained(mistake: Mistake, places: Places, tmp_path: Path) -> None:
    """One line on stderr with the cause and what to do."""
    assert_explained(replace(mistake, settings=places.fill(mistake.settings)), tmp_path)


@pytest.mark.parametrize(
    ("settings", "files"),
    [
        ({"PRODUCER_DATABASE_URL": PRODUCER}, {}),
        ({"PRODUCER_DATABASE_URL_FILE": "url"}, {"url": PRODUCER.encode()}),
        ({}, {".env": f"NOTIFIER_PRODUCER_DATABASE_URL={PRODUCER}\n".encode()}),
    ],
)
def test_a_database_of_a_producer_is_found(
    places: Places, tmp_path: Path, settings: dict[str, str], files: dict[str, bytes | None]
) -> None:
    """`forward` takes its URL from the environment, a file or `.env`; one that cannot be used is explained."""
    known = places.fill({"URL": "{api}", "API_KEY": "{shop}"})
    assert_explained(Mistake("forward", "--database-url", "that can be opened", known | settings, files), tmp_path)
