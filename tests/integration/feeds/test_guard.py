"""No feed connects to a non-public address, whatever the URL, DNS or replies are; checked at the socket layer."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from integration.webhooks.test_guard import PUBLIC, Names
from support.certificate_authority import CertificateAuthority
from support.watched_connects import watch_connects
from support.webhook_receiver import build_reply, run_receiver
from unit.webhooks.test_public import NOT_PUBLIC
from unit.webhooks.test_target import BAD

from notifier.feeds.feed_client import FeedClient, FeedLoadError, FeedSource
from notifier.settings import FeedsSettings
from notifier.states import FeedFormat

NOT_THE_PUBLIC = "the host of the URL has an address that is not public"


def source(url: str = "https://feeds.example.org/", **fields: Any) -> FeedSource:
    """A source with few limits."""
    known: dict[str, Any] = {
        "headers": {"Authorization": "Bearer canary"},
        "format": FeedFormat.JSON,
        "max_bytes": 10_000,
        "timeout_seconds": 2.0,
        "etag": None,
        "last_modified": None,
    }
    return FeedSource(url=url, **known | fields)


async def load_reason(names: Names, wanted: FeedSource, **settings: Any) -> str:
    """The reason why a source cannot be loaded."""
    client = FeedClient(names, FeedsSettings.model_validate(settings))
    with pytest.raises(FeedLoadError) as refused:
        await client.load_document(wanted)
    assert "canary" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_a_name_that_leads_inside(address: str) -> None:
    """A name that resolves to a non-public address is not connected to, and the error does not reveal the address."""
    with watch_connects() as seen:
        assert await load_reason(Names([address]), source()) == NOT_THE_PUBLIC
    assert seen == []


@pytest.mark.parametrize("answers", [[PUBLIC, "10.0.0.1"], ["::1", PUBLIC]])
async def test_one_bad_answer_spoils_all(answers: Sequence[str]) -> None:
    """A name with one public and one non-public address is not connected to."""
    with watch_connects() as seen:
        assert await load_reason(Names(answers), source()) == NOT_THE_PUBLIC
    assert seen == []


async def test_a_name_that_changes_its_mind() -> None:
    """A name is resolved once in each attempt, so DNS rebinding cannot change the address that was checked."""
    names = Names([PUBLIC], ["127.0.0.1"])
    with watch_connects() as seen:
        assert "no connection" in await load_reason(names, source())
        assert (seen, names.lookups) == ([PUBLIC], 1)
        assert await load_reason(names, source()) == NOT_THE_PUBLIC
    assert (seen, names.lookups) == ([PUBLIC], 2)


@pytest.mark.parametrize(
    "url",
    [
        *BAD,
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:6379/",
        "https://user:word@feeds.example.org/",
    ],
)
async def test_a_url_that_slipped_in(url: str) -> None:
    """A forbidden URL in the database is checked again at every attempt, and neither resolved nor connected to."""
    names = Names(["127.0.0.1"])
    with watch_connects() as seen:
        assert (await load_reason(names, source(url))).startswith("the URL may not be called: ")
    assert (seen, names.lookups) == ([], 0)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_lead_nowhere(status: str) -> None:
    """A redirect is a failure, and its target is never resolved or connected to, also on the same host."""
    names = Names(["127.0.0.1"])
    async with run_receiver() as receiver, run_receiver() as inside:
        receiver.always["/feed"] = build_reply(status, Location=inside.url())
        with watch_connects() as seen:
            url = f"http://localhost:{receiver.port}/feed"
            reason = await load_reason(names, source(url), insecure_hosts="localhost")
        assert f"redirects ({status[:3]})" in reason
        assert (seen, names.lookups, inside.connections) == (["127.0.0.1"], 1, 0)


async def test_only_named_hosts_are_trusted() -> None:
    """A host of this network is loaded from if the operator names it; any other host stays refused."""
    async with run_receiver() as receiver:
        receiver.always["/feed"] = build_reply("200 OK", b"[]")
        client = FeedClient(Names(["127.0.0.1"]), FeedsSettings.model_validate({"insecure_hosts": "localhost"}))
        loaded = await client.load_document(source(f"http://localhost:{receiver.port}/feed"))
        assert loaded is not None
        assert loaded.body == b"[]"
        with pytest.raises(FeedLoadError, match="may not be called"):
            await client.load_document(source(f"http://127.0.0.1:{receiver.port}/feed"))
        assert len(receiver.heard) == 1


async def test_certificates_that_cannot_be_read_are_not_named(tmp_path: Path) -> None:
    """If the operator's file has gone, the owner of a feed reads whom to ask, and no path."""
    reason = await load_reason(Names(["127.0.0.1"]), source(), insecure_hosts="x", ca_file=tmp_path / "gone.pem")
    assert "ask its operator" in reason
    assert "gone" not in reason


async def test_tls_is_to_the_name(tmp_path: Path) -> None:
    """TLS verifies the certificate against the URL's name; before that, no header field is sent."""
    authority = CertificateAuthority(tmp_path)
    for name in ("feeds.example.org", "other.example.org"):
        server_names: list[str | None] = []
        context = authority.issue_server_context(name)

        def remember(_socket: ssl.SSLObject, server_name: str, _context: ssl.SSLContext) -> None:
            server_names.append(server_name)  # noqa: B023 - called before the next round

        context.sni_callback = remember
        async with run_receiver(context) as receiver:
            receiver.always["/feed"] = build_reply("200 OK", b"[]")
            settings = {"insecure_hosts": "feeds.example.org", "ca_file": authority.ca_file}
            client = FeedClient(Names(["127.0.0.1"]), FeedsSettings.model_validate(settings))
            wanted = source(f"https://feeds.example.org:{receiver.port}/feed")
            if name == "feeds.example.org":
                assert await client.load_document(wanted) is not None
            else:
                with pytest.raises(FeedLoadError, match="certificate of the server was refused"):
                    await client.load_document(wanted)
                assert receiver.heard == []
        assert server_names == ["feeds.example.org"]
