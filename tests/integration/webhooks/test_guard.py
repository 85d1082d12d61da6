"""No webhook connects to a non-public address, whatever the URL, DNS or replies are; checked at the socket layer."""

import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.certificate_authority import CertificateAuthority
from support.watched_connects import watch_connects
from support.webhook_receiver import build_reply, run_receiver
from unit.webhooks.test_public import NOT_PUBLIC
from unit.webhooks.test_target import BAD

from notifier.clock import SystemClock
from notifier.settings import WebhooksSettings
from notifier.webhooks.endpoint_client import EndpointClient

PUBLIC = "93.184.215.14"
FIELDS = {"webhook-id": "msg"}


class Names:
    """A resolver that returns one list of addresses after the other, and repeats the last one."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.lookups = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.lookups += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def caller(names: Names, **settings: object) -> EndpointClient:
    """A caller with this resolver."""
    return EndpointClient(
        names, clock=SystemClock(), settings=WebhooksSettings.model_validate({"timeout": 2.0} | settings)
    )


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_that_leads_inside(address: str) -> None:
    """A name that resolves to a non-public address is not connected to, and the error does not reveal the address."""
    with watch_connects() as seen:
        answer = await caller(Names([address])).post("https://hooks.example.org/", FIELDS, b"{}")
    assert seen == []
    assert (answer.code, answer.detail) == (None, "The host has an address that is not public.")


@pytest.mark.parametrize("inside", ["127.0.0.1", "169.254.169.254", "::1", "64:ff9b::7f00:1"])
@pytest.mark.parametrize("first", [True, False])
async def test_one_bad_answer_spoils_all(inside: str, *, first: bool) -> None:
    """A name with one public and one non-public address is not connected to."""
    answers = [inside, PUBLIC] if first else [PUBLIC, inside]
    with watch_connects() as seen:
        answer = await caller(Names(answers)).post("https://hooks.example.org/", FIELDS, b"{}")
    assert seen == []
    assert answer.code is None


async def test_a_name_that_changes_its_mind() -> None:
    """A name is resolved once in each try, so DNS rebinding cannot change the address that was checked."""
    names = Names([PUBLIC], ["127.0.0.1"])
    client = caller(names)
    with watch_connects() as seen:
        await client.post("https://hooks.example.org/", FIELDS, b"{}")
        assert (seen, names.lookups) == ([PUBLIC], 1)
        again = await client.post("https://hooks.example.org/", FIELDS, b"{}")
    assert (seen, names.lookups) == ([PUBLIC], 2)
    assert "not public" in again.detail


@pytest.mark.parametrize("url", [*BAD, "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:6379/"])
async def test_a_url_that_slipped_in(url: str) -> None:
    """A forbidden URL in the database is checked again at every try, and neither resolved nor connected to."""
    names = Names(["127.0.0.1"])
    with watch_connects() as seen:
        answer = await caller(names).post(url, FIELDS, b"{}")
    assert (seen, names.lookups, answer.code) == ([], 0, None)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_lead_nowhere(status: str) -> None:
    """A redirect is a failure, and its target is never resolved."""
    names = Names(["127.0.0.1"])
    async with run_receiver() as receiver, run_receiver() as inside:
        receiver.always["/hook"] = build_reply(status, Location=inside.url())
        with watch_connects() as seen:
            answer = await caller(names, insecure_hosts=("localhost",)).post(
                f"http://localhost:{receiver.port}/hook", FIELDS, b"{}"
            )
        assert (answer.code, answer.is_success) == (int(status[:3]), False)
        assert (seen, names.lookups, inside.connections) == (["127.0.0.1"], 1, 0)


async def test_tls_is_to_the_name(tmp_path: Path) -> None:
    """TLS verifies the certificate against the URL's name, although the connection goes to the pinned address."""
    authority = CertificateAuthority(tmp_path)
    for name, code in (("hooks.example.org", 204), ("other.example.org", None)):
        server = authority.issue_server_context(name)
        server_names = []

        def remember(_socket: ssl.SSLObject, server_name: str, _context: ssl.SSLContext) -> None:
            server_names.append(server_name)  # noqa: B023 - called before the next round

        server.sni_callback = remember
        async with run_receiver(server) as receiver:
            client = caller(Names(["127.0.0.1"]), insecure_hosts=("hooks.example.org",), ca_file=authority.ca_file)
            answer = await client.post(f"https://hooks.example.org:{receiver.port}/hook", FIELDS, b"{}")
            assert (answer.code, server_names) == (code, ["hooks.example.org"])
            assert len(receiver.heard) == (1 if code else 0)
    assert "certificate" in answer.detail


async def test_certificates_that_cannot_be_read_are_not_named(tmp_path: Path) -> None:
    """The owner of a webhook learns that its operator must act, and not which file is missing."""
    client = caller(Names(["127.0.0.1"]), ca_file=tmp_path / "none.pem")
    answer = await client.post("https://hooks.example.org/hook", FIELDS, b"{}")
    assert answer.code is None
    assert "the certificates that Notifier trusts cannot be read" in answer.detail
    assert "none.pem" not in answer.detail
