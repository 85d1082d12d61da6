"""Chaos, as MailHog's Jim makes it: what the SMTP server refuses, drops and slows on demand."""

import smtplib
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from support.document_blocks import list_blocks

from notifier.inbox.inbox_server import BackgroundInbox
from notifier.inbox.smtp_chaos import ChaosControl, ChaosSettings

if TYPE_CHECKING:
    from integration.inbox.conftest import MailHog

JIM = "/api/v2/jim"
CALM = {"AcceptChance": 1}


@pytest.fixture
def jim(mailhog: "MailHog") -> Iterator[httpx2.Client]:
    """An HTTP client for the server under test; afterwards chaos is off."""
    with httpx2.Client(base_url=mailhog.url, trust_env=False, timeout=100) as client:
        yield client
        client.delete(JIM)


Deliver = Callable[..., None]


@pytest.fixture
def deliver(mailhog: "MailHog") -> Deliver:
    """Send one mail after a login if the server offers one."""

    def to_server(*, login: bool = False) -> None:
        host, port = mailhog.smtp_host, mailhog.smtp_port
        with smtplib.SMTP(host, port, local_hostname="tests.example", timeout=100) as client:
            if login:
                client.login("anyone", "anything")
            client.sendmail("shop@shop.example", ["ann@customer.example"], b"Subject: x\r\n\r\nx\r\n")

    return to_server


def test_chaos_is_turned_on_changed_and_off(jim: httpx2.Client) -> None:
    """Each route answers as MailHog's does; names that are missing become 0."""
    assert [jim.request(method, JIM).status_code for method in ("GET", "PUT", "DELETE")] == [404, 404, 404]

    assert jim.post(JIM).status_code == 201
    assert jim.get(JIM).json() == {
        "DisconnectChance": 0.005,
        "AcceptChance": 0.99,
        "LinkSpeedAffect": 0.1,
        "LinkSpeedMin": 1024,
        "LinkSpeedMax": 10240,
        "RejectSenderChance": 0.05,
        "RejectRecipientChance": 0.05,
        "RejectAuthChance": 0.05,
    }
    assert jim.post(JIM, json=CALM).status_code == 400
    assert jim.put(JIM, json={"acceptchance": 0.5, "Unknown": 1}).status_code == 200
    assert jim.get(JIM).json() == dict.fromkeys(jim.get(JIM).json(), 0) | {"AcceptChance": 0.5}
    assert jim.delete(JIM).status_code == 200
    assert jim.get(JIM).status_code == 404


INVALID = {
    b'{"AcceptChance": 2}': "AcceptChance is a number from 0 to 1.",
    b'{"AcceptChance": "1"}': "AcceptChance is a number from 0 to 1.",
    b'{"LinkSpeedMin": -1}': "LinkSpeedMin is a number from 0 to 1,000,000,000 bytes per second.",
    b'{"LinkSpeedMax": NaN}': "LinkSpeedMax is a number from 0",
    b'{"LinkSpeedMax": Infinity}': "LinkSpeedMax is a number from 0",
    b"[]": "Send a JSON object",
    b"{": "The body is not JSON.",
}


def test_settings_that_make_no_sense_are_refused(http: httpx2.Client) -> None:
    """Invalid settings are 400 with the reason, and chaos stays as it was."""
    for body, reason in INVALID.items():
        refused = http.post(JIM, content=body)
        assert (refused.status_code, http.get(JIM).status_code) == (400, 404)
        assert reason in refused.text


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"AcceptChance": 0}, smtplib.SMTPServerDisconnected),
        (CALM | {"DisconnectChance": 1}, smtplib.SMTPServerDisconnected),
        (CALM | {"RejectSenderChance": 1}, smtplib.SMTPSenderRefused),
        (CALM | {"RejectRecipientChance": 1}, smtplib.SMTPRecipientsRefused),
    ],
)
def test_what_always_happens_happens(
    jim: httpx2.Client, deliver: Deliver, settings: dict[str, Any], error: type[Exception]
) -> None:
    """With a chance of 1 a mail fails; the same mail is accepted once chaos is off."""
    jim.post(JIM, json=settings)
    with pytest.raises(error):
        deliver()
    assert jim.get("/api/v2/messages").json()["total"] == 0

    jim.delete(JIM)
    deliver()
    assert jim.get("/api/v2/messages").json()["total"] == 1


def test_a_refused_password_is_answered_as_elsewhere(inbox: BackgroundInbox, http: httpx2.Client) -> None:
    """AUTH is answered with 535; MailHog answers 500."""
    http.post(JIM, json=CALM | {"RejectAuthChance": 1})
    with (
        smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example", timeout=100) as client,
        pytest.raises(smtplib.SMTPAuthenticationError) as refusal,
    ):
        client.login("anyone", "anything")
    assert refusal.value.smtp_code == 535


def test_a_connection_is_closed_after_the_reply(inbox: BackgroundInbox, http: httpx2.Client) -> None:
    """A reply arrives whole before the connection is closed, also one of several lines."""
    http.post(JIM, json=CALM | {"DisconnectChance": 1})
    with socket.create_connection((inbox.smtp_host, inbox.smtp_port), timeout=100) as connection:
        connection.sendall(b"EHLO tests.example\r\n")
        lines = connection.makefile("rb").read().splitlines()
    assert lines[0].startswith(b"220 ")
    assert lines[-1].startswith(b"250 ")


def test_a_slow_connection_passes_all_bytes(inbox: BackgroundInbox, http: httpx2.Client) -> None:
    """A slow connection sends its greeting byte by byte; a faster one delivers a mail."""
    http.post(JIM, json=CALM | {"LinkSpeedAffect": 1, "LinkSpeedMin": 1, "LinkSpeedMax": 1})
    with socket.create_connection((inbox.smtp_host, inbox.smtp_port), timeout=100) as connection:
        assert b"220 inbox".startswith(connection.recv(100))

    http.put(JIM, json=CALM | {"LinkSpeedAffect": 1, "LinkSpeedMin": 50_000, "LinkSpeedMax": 50_000})
    with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example", timeout=100) as client:
        client.login("anyone", "anything")
        client.sendmail("shop@shop.example", ["ann@customer.example"], b"Subject: slow\r\n\r\nx\r\n")
    assert inbox.wait_for(subject="slow").raw == b"Subject: slow\r\n\r\nx\r\n"


def test_speeds_lie_between_the_limits() -> None:
    """A speed lies between the two limits, and is never so low that a connection hangs."""
    chaos = ChaosControl()
    assert chaos.choose_speed() is None
    chaos.settings = ChaosSettings(link_speed_affect=1, link_speed_min=10, link_speed_max=20)
    assert all(10 <= (chaos.choose_speed() or 0) <= 20 for _ in range(100))
    chaos.settings = ChaosSettings(link_speed_affect=1, link_speed_min=0, link_speed_max=0)
    assert chaos.choose_speed() == 1


def test_the_commands_of_the_document_work(inbox: BackgroundInbox, http: httpx2.Client) -> None:
    """Each command of docs/inbox.md succeeds, and the last one turns chaos off."""
    (block,) = list_blocks("docs/inbox.md", "sh")
    script = block.text.replace("localhost:8025", inbox.http_url.removeprefix("http://"))
    script = "set -e\n" + script.replace("curl ", "curl --fail --silent --show-error --noproxy '*' ")
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"RejectRecipientChance": 0.5' in done.stdout
    assert http.get(JIM).status_code == 404


def test_outgoing_servers_are_the_ports_for_releases(http: httpx2.Client) -> None:
    """An inbox without release ports has no outgoing server."""
    assert http.get("/api/v2/outgoing-smtp").json() == {}


def test_options_are_answered_without_opening_the_api(http: httpx2.Client) -> None:
    """OPTIONS is 200 and lists the methods, but no other site is allowed in."""
    answer = http.options("/api/v2/messages")
    assert (answer.status_code, answer.headers["allow"]) == (200, "GET, HEAD")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert http.options("/api/v2/messages", headers={"Origin": "https://other.example"}).status_code == 403
    assert http.options("/nothing").status_code == 404
