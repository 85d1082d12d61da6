"""What the HTTP side adds to MailHog's contract: clear refusals, releases to loopback only, and strict headers."""

import smtplib
from collections.abc import Callable, Iterator

import httpx2
import pytest

from notifier.inbox.client import MailHogClient
from notifier.inbox.inbox_server import BackgroundInbox
from notifier.inbox.web_app import Access

Send = Callable[..., None]


@pytest.fixture
def elsewhere() -> Iterator[BackgroundInbox]:
    """A second SMTP server on loopback."""
    with BackgroundInbox() as running:
        yield running


def only_id(inbox: BackgroundInbox) -> str:
    """The id of the only message."""
    (message,) = inbox.messages()
    return message.id


@pytest.mark.parametrize("path", ["", "/download", "/mime/part/0/download"])
def test_an_unknown_id_is_not_found(http: httpx2.Client, path: str) -> None:
    """An unknown id is 404, where MailHog replies null or fails."""
    assert http.get(f"/api/v1/messages/nothing{path}").status_code == 404


def test_deleting_and_releasing_an_unknown_id_is_not_found(http: httpx2.Client) -> None:
    """Deleting or releasing an unknown id is 404."""
    assert http.delete("/api/v1/messages/nothing").status_code == 404
    assert http.post("/api/v1/messages/nothing/release", json={}).status_code == 404


def test_a_part_that_is_not_there_is_not_found(http: httpx2.Client, inbox: BackgroundInbox, send: Send) -> None:
    """A missing part is 404, in a plain mail and behind the last part."""
    send("plain")
    assert http.get(f"/api/v1/messages/{only_id(inbox)}/mime/part/0/download").status_code == 404
    inbox.clear()
    send("rich", html="<p>x</p>")
    assert http.get(f"/api/v1/messages/{only_id(inbox)}/mime/part/2/download").status_code == 404


@pytest.mark.parametrize(
    ("encoding", "body", "content"),
    [
        (b"quoted-printable", b"=41", b"=41"),
        (b"base64", b"A", b"A"),
        (b"BASE64", b"QQ==", b"A"),
    ],
)
def test_a_part_keeps_what_is_not_valid_base64(
    http: httpx2.Client, inbox: BackgroundInbox, send: Send, encoding: bytes, body: bytes, content: bytes
) -> None:
    """Invalid base64 is returned unchanged, and so is quoted-printable, which MailHog's clients decode themselves."""
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\nContent-Transfer-Encoding: "
    send(raw=head + encoding + b"\r\nContent-Type: text/x\x01y\r\n\r\n" + body + b"\r\n--b--\r\n")

    answer = http.get(f"/api/v1/messages/{only_id(inbox)}/mime/part/0/download")

    assert answer.content == content
    assert answer.headers["content-type"] == "text/xy"


def test_a_multipart_without_a_boundary_has_no_parts(http: httpx2.Client, send: Send) -> None:
    """A multipart mail without a boundary has no parts and is still listed."""
    send(raw=b"Content-Type: multipart/mixed\r\n\r\nx\r\n")

    assert http.get("/api/v1/messages").json()[0]["MIME"] == {"Parts": []}


@pytest.mark.parametrize("email", ["jo@x.example", "jürgen@x.example"])
def test_a_release_sends_the_same_bytes_to_the_host_and_address_that_were_asked_for(
    elsewhere: BackgroundInbox, email: str
) -> None:
    """A release keeps the sender and the bytes, including 8-bit content and international addresses."""
    raw = "Subject: release me\r\n\r\nGrüße\r\n".encode()
    target = {"name": "", "email": email, "host": "127.0.0.1", "port": str(elsewhere.smtp_port)}
    with BackgroundInbox(access=Access(release_ports=[elsewhere.smtp_port])) as inbox:
        with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example", timeout=10) as client:
            client.sendmail("shop@shop.example", ["ann@customer.example"], raw)
        url = f"{inbox.http_url}/api/v1/messages/{only_id(inbox)}/release"

        answer = httpx2.post(url, json=target, trust_env=False)

        assert answer.status_code == 200, answer.text
        released = elsewhere.wait_for(to=email)
        assert (released.raw, released.sender) == (raw, "shop@shop.example")
        refused = httpx2.post(url, json=target | {"port": inbox.http_port}, trust_env=False)
        assert refused.status_code == 400
        assert f"--release-port {inbox.http_port}" in refused.text


def test_a_release_may_name_an_outgoing_server(elsewhere: BackgroundInbox) -> None:
    """The list of outgoing servers has one for each release port; its name stands for host and port."""
    with BackgroundInbox(access=Access(release_ports=[elsewhere.smtp_port])) as inbox:
        with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example", timeout=100) as client:
            client.sendmail("shop@shop.example", ["ann@customer.example"], b"Subject: named\r\n\r\nx\r\n")
        url = f"{inbox.http_url}/api/v1/messages/{only_id(inbox)}/release"
        (server,) = httpx2.get(f"{inbox.http_url}/api/v2/outgoing-smtp", trust_env=False).json().values()
        name = f"localhost:{elsewhere.smtp_port}"
        assert (server["Name"], server["Host"], server["Port"]) == (name, "localhost", str(elsewhere.smtp_port))

        answer = httpx2.post(url, json={"name": name, "email": "bob@x.example"}, trust_env=False)

        assert answer.status_code == 200, answer.text
        assert elsewhere.wait_for(to="bob@x.example").subject == "named"
        unknown = httpx2.post(url, json={"name": "mail.example.com", "email": "bob@x.example"}, trust_env=False)
        assert (unknown.status_code, "outgoing-smtp" in unknown.text) == (400, True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"email": "a@x.example", "host": "mail.example.com", "port": "25"}, "loopback"),
        ({"email": "a@x.example", "host": "192.0.2.1", "port": "25"}, "loopback"),
        ({"email": "a@x.example", "host": "[::1]", "port": "x"}, "port"),
        ({"email": "a@x.example", "host": "localhost", "port": "70000"}, "port"),
        ({"Email": "nobody", "Host": "LOCALHOST", "Port": 25}, "address"),
        ([], "JSON object"),
    ],
)
def test_a_release_to_anywhere_else_is_refused_with_the_reason(
    http: httpx2.Client, inbox: BackgroundInbox, send: Send, body: object, reason: str
) -> None:
    """A release to any other host is refused with the reason, so that no mail leaves the machine."""
    send()

    answer = http.post(f"/api/v1/messages/{only_id(inbox)}/release", json=body)

    assert answer.status_code == 400
    assert reason in answer.text


def test_a_release_that_is_not_json_or_not_taken_says_so(
    http: httpx2.Client, inbox: BackgroundInbox, send: Send, unused_port: int
) -> None:
    """A release that is not JSON is 400; one that no server accepts is 500, as with MailHog."""
    send()
    assert http.post(f"/api/v1/messages/{only_id(inbox)}/release", content=b"{").status_code == 400
    with BackgroundInbox(access=Access(release_ports=[unused_port])) as other:
        with smtplib.SMTP(other.smtp_host, other.smtp_port, local_hostname="tests.example", timeout=10) as client:
            client.sendmail("s@x.example", ["r@x.example"], b"Subject: x\r\n\r\nx\r\n")
        url = f"{other.http_url}/api/v1/messages/{only_id(other)}/release"
        target = {"email": "a@x.example", "host": "127.0.0.1", "port": unused_port}
        refused = httpx2.post(url, json=target, trust_env=False)
        assert refused.status_code == 500
        assert "did not take" in refused.text


def test_a_window_holds_250_messages_at_most(http: httpx2.Client, inbox: BackgroundInbox) -> None:
    """A window has at most 250 messages; the client reads all windows and misses no message."""
    with smtplib.SMTP(inbox.smtp_host, inbox.smtp_port, local_hostname="tests.example") as client:
        for number in range(260):
            client.sendmail("s@x.example", ["r@x.example"], b"Subject: %d\r\n\r\nx\r\n" % number)

    assert http.get("/api/v2/messages", params={"limit": "1000"}).json()["count"] == 250
    with MailHogClient(inbox.http_url) as mailhog:
        assert [message.subject for message in mailhog.messages()] == [str(number) for number in range(260)]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_not_change_anything(
    http: httpx2.Client, inbox: BackgroundInbox, send: Send, site: str
) -> None:
    """A web page that a developer visits cannot empty the inbox."""
    send()

    assert http.delete("/api/v1/messages", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert len(inbox.messages()) == 1
    assert http.delete("/api/v1/messages", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/v2/messages", "/nothing"])
def test_every_response_is_strict(http: httpx2.Client, path: str) -> None:
    """Every response forbids sniffing, framing and referrers, and has a content policy that starts from nothing."""
    headers = http.get(path).headers

    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["date"].endswith("GMT")


def test_raw_parts_are_shown_without_rights(http: httpx2.Client, inbox: BackgroundInbox, send: Send) -> None:
    """A part that claims to be inline HTML cannot run scripts on the inbox's origin."""
    send(
        raw=b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n"
        b"Content-Disposition: inline\r\n\r\n<script>1</script>\r\n--b--\r\n"
    )

    headers = http.get(f"/api/v1/messages/{only_id(inbox)}/mime/part/0/download").headers

    assert "sandbox" in headers["content-security-policy"]
