"""Access to the inbox: a web page that points its own name to this machine can neither read nor change it."""

from collections.abc import Callable

import httpx2
import pytest
from starlette.routing import Mount, Route

from notifier.inbox.inbox_server import BackgroundInbox
from notifier.inbox.mailhog_api import MailHogApi
from notifier.inbox.message_store import MessageStore
from notifier.inbox.page_api import PageApi
from notifier.inbox.smtp_chaos import ChaosControl
from notifier.inbox.web_app import Access
from notifier.sse import OpenStreams

Send = Callable[..., None]
FOREIGN_HOSTS = (
    "rebound.example", "rebound.example:8025", "localhost.rebound.example", "127.0.0.1.rebound.example", "", "10.0.0.1",
    "[2001:db8::1]:8025", "localhost:x", "localhost@rebound.example", "[::1", "inbox", "0.0.0.0", "notlocalhost",
)  # fmt: skip
OWN_HOSTS = (
    "localhost", "LOCALHOST:1", "localhost.", "app.localhost:80", "127.0.0.1", "127.8.9.1:8025", "[::1]", "[::1]:8025",
)  # fmt: skip


def _scope(host: str, method: str = "GET", *headers: tuple[str, str]) -> dict[str, object]:
    pairs = [("host", host), *headers]
    return {"type": "http", "method": method, "headers": [(name.encode(), value.encode()) for name, value in pairs]}


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_foreign_hosts_are_turned_away(host: str) -> None:
    """Foreign host names are refused; an inbox on all addresses accepts addresses, which no name resolves to."""
    assert "--allow-host" in (Access().find_refusal(_scope(host)) or "")
    everywhere = Access(bound_to="0.0.0.0").find_refusal(_scope(host))
    assert (everywhere is None) == (host in {"10.0.0.1", "[2001:db8::1]:8025", "0.0.0.0"})


@pytest.mark.parametrize("host", [*OWN_HOSTS, "inbox", "inbox:8025", "192.0.2.7"])
def test_own_hosts_are_let_in(host: str) -> None:
    """Accepted are the names of loopback, the listening address, and the hosts that were configured."""
    assert Access(bound_to="192.0.2.7", hosts=["Inbox"]).find_refusal(_scope(host)) is None


def test_one_host_is_told() -> None:
    """A request with no Host header, or with two, is refused."""
    two = _scope("localhost", "GET", ("host", "rebound.example"))
    assert Access().find_refusal(two | {"headers": []}) is not None
    assert Access().find_refusal(two) is not None


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ([], True),
        ([("origin", "http://localhost:8025")], True),
        ([("origin", "https://localhost:8025"), ("sec-fetch-site", "same-origin")], True),
        ([("sec-fetch-site", "none")], True),
        ([("sec-fetch-site", "cross-site")], False),
        ([("origin", "http://localhost:9000")], False),
        ([("origin", "http://localhost")], False),
        ([("origin", "null")], False),
        ([("origin", "http://rebound.example")], False),
        ([("origin", "http://[")], False),
        ([("origin", "http://localhost:8025"), ("origin", "http://rebound.example")], False),
        ([("origin", "http://localhost:8025"), ("sec-fetch-site", "same-site")], False),
    ],
)
def test_only_its_own_page_and_programs_change_anything(headers: list[tuple[str, str]], *, is_let_in: bool) -> None:
    """Changes are allowed to the inbox's own page and to programs, which send no origin headers; reads need none."""
    for method in ("POST", "DELETE", "PUT"):
        assert (Access().find_refusal(_scope("localhost:8025", method, *headers)) is None) == is_let_in
    assert Access().find_refusal(_scope("localhost:8025", "GET", *headers)) is None


def test_every_route_asks_for_the_host(inbox: BackgroundInbox, http: httpx2.Client, send: Send) -> None:
    """Every route refuses a foreign host, and nothing is changed."""
    send()
    (message,) = inbox.messages()
    streams = OpenStreams(max_streams=1, max_per_owner=1)
    parts = MessageStore(), ChaosControl(), streams
    routes = [*PageApi(*parts, smtp_address="", console_url="").routes(), *MailHogApi(*parts, ()).routes()]
    paths = {(next(iter(route.methods or ())), route.path) for route in routes if isinstance(route, Route)}
    assert not [route for route in routes if isinstance(route, Mount)]
    for method, path in paths | {("GET", "/"), ("GET", "/static/app.js"), ("HEAD", "/"), ("POST", "/nothing")}:
        url = path.replace("{id}", message.id).replace("{number:int}", "0").replace("{part:int}", "0")
        reply = http.request(method, url, headers={"Host": "rebound.example"})
        assert reply.status_code == 403, path
    assert len(inbox.messages()) == 1
