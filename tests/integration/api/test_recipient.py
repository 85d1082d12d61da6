"""Valid recipient addresses, and the normal form in which they are stored, compared and sent."""

from datetime import UTC, datetime
from typing import Any

import httpx2
from integration.api.refusal import NOTHING, Written, faults, outcome
from sqlalchemy import select
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME, Installation

from notifier import suppression
from notifier.db.tables import Notification, get_columns
from notifier.runtime import wiring
from notifier.settings import RecipientsMode
from notifier.states import SuppressionReason

BAD = {
    "header injection": "a@x.org\r\nBcc: e@x.org",
    "display name": "Foo <a@x.org>",
    "two, by comma": "a@x.org,b@x.org",
    "two, by semicolon": "a@x.org; b@x.org",
    "angle brackets": "<a@x.org>",
    "trailing newline": "a@x.org\n",
    "trailing carriage return": "a@x.org\r",
    "leading space": " a@x.org",
    "trailing space": "a@x.org ",
    "zero-width space": "a\u200b@x.org",
    "zero-width space in the domain": "a@x\u200b.org",
    "right-to-left override": "a@x\u202e.org",
    "next line": "a@x.org\x85",
    "no dot": "a@localhost",
    "address literal": "a@[127.0.0.1]",
    "IPv6 literal": "a@[IPv6:::1]",
    "bare IP address": "a@127.0.0.1",
    "65-octet local part": "a" * 65 + "@x.org",
    "64-character label": f"a@{'x' * 64}.org",
    "255 octets": f"a@{'.'.join(['x' * 60] * 5)}.org",
    "comment": "a(b)@x.org",
    "quoted local part": '"a b"@x.org',
    "source route": "@y.org:a@x.org",
    "percent hack is no excuse for two @": "a@y.org@x.org",
    "two dots": "a..b@x.org",
    "empty": "",
    "no @": "a.x.org",
    "nothing before the @": "@x.org",
    "nothing after the @": "a@",
    "special use": "a@x.test",
    "label with a hyphen first": "a@-x.org",
}


def _except_for(**changes: Any) -> dict[str, Any]:
    return WELCOME | changes


async def test_nothing_but_one_bare_address_is_a_recipient(client: httpx2.AsyncClient, written: Written) -> None:
    """Injection, lists, invisible characters and undeliverable addresses are `invalid_address`."""
    replies = {name: await client.post("/v1/notifications", json=_except_for(to=to)) for name, to in BAD.items()}
    let_in = {name for name, reply in replies.items() if reply.status_code != 422}
    assert let_in == set()
    assert {name: faults(reply) for name, reply in replies.items()} == {
        name: {("/to", "invalid_address")} for name in BAD
    }
    assert await written() == NOTHING


async def test_a_local_part_beyond_ascii_needs_smtputf8(client: httpx2.AsyncClient, written: Written) -> None:
    """`ü@…` is refused at submit, because the relay does not support SMTPUTF8."""
    for field in ("to", "from", "reply_to"):
        reply = await client.post("/v1/notifications", json=_except_for(**{field: "ü@shop.example"}))
        assert faults(reply) == {(f"/{field}", "smtputf8_not_supported")}
    assert await written() == NOTHING


async def test_equal_addresses_are_stored_in_one_form(client: httpx2.AsyncClient, parts: wiring.ProcessParts) -> None:
    """Domain case, full-width letters and Unicode domains are normalised before they are stored."""
    stored = {
        "A@B.ORG": "A@b.org",
        "a@ｘ.org": "a@x.org",  # noqa: RUF001 - the point
        "a@Bücher.example": "a@xn--bcher-kva.example",
        "a@XN--BCHER-KVA.example": "a@xn--bcher-kva.example",
        "a@例え.jp": "a@xn--r8jz45g.jp",
        "a+tag@x.org": "a+tag@x.org",
        "o'brien@x.org": "o'brien@x.org",
    }
    replies = {to: await client.post("/v1/notifications", json=_except_for(to=to)) for to in stored}
    recipients = {to: (await client.get(reply.headers["location"])).json()["to"] for to, reply in replies.items()}
    assert recipients == stored
    async with parts.database.read() as connection:
        rows = await connection.scalars(select(get_columns(Notification).recipient))
    assert sorted(rows) == sorted(stored.values())


async def test_an_international_domain_is_an_a_label_on_the_wire(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay
) -> None:
    """Without SMTPUTF8 the relay gets ASCII in envelope and header."""
    assert (await client.post("/v1/notifications", json=_except_for(to="Ada@Bücher.example"))).status_code == 202
    async with wiring.run_sender(parts):
        (mail,) = await relay.wait_for(1)
    assert mail.recipient == "Ada@xn--bcher-kva.example"
    assert mail.message["To"] == "Ada@xn--bcher-kva.example"


async def _suppress(parts: wiring.ProcessParts, recipient: str) -> None:
    async with parts.database.write() as connection:
        await suppression.suppress_recipient(
            connection, recipient, reason=SuppressionReason.RECIPIENT_REFUSED, detail="550 5.1.1", now=datetime.now(UTC)
        )


async def test_a_suppressed_recipient_is_told_and_never_mailed(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient, relay: ScriptedRelay, written: Written
) -> None:
    """The notification is stored as `suppressed` without an outbox entry; only the other mail is sent."""
    await _suppress(parts, "ada@example.com")
    reply = await client.post("/v1/notifications", json=WELCOME)
    assert (reply.status_code, reply.json()["status"]) == (202, "suppressed")
    assert await written() == (1, 1, 0)
    assert (await client.post("/v1/notifications", json=_except_for(to="bob@example.com"))).status_code == 202
    async with wiring.run_sender(parts):
        await relay.wait_for(1)
    assert [command for command in relay.commands if "RCPT" in command] == ["RCPT TO:<bob@example.com>"]
    notification = (await client.get(reply.headers["location"])).json()
    assert (notification["status"], notification["reason"], notification["attempts"]) == (
        "suppressed",
        "recipient_suppressed",
        [],
    )
    assert notification["next_attempt_at"] is None


async def test_addresses_of_one_person_have_one_suppression(
    parts: wiring.ProcessParts, client: httpx2.AsyncClient
) -> None:
    """All spellings of a suppressed address match; a similar address does not."""
    await _suppress(parts, "a@b.org")
    await _suppress(parts, "a@xn--bcher-kva.example")
    barred = ("a@b.org", "A@B.ORG", "A@ｂ.org", "a@bücher.example", "A@BÜCHER.example")  # noqa: RUF001 - the point
    for to in (*barred, "b@b.org", "a+1@b.org"):
        reply = await client.post("/v1/notifications", json=_except_for(to=to))
        assert reply.json()["status"] == ("suppressed" if to in barred else "queued"), to


async def test_a_sender_outside_the_services_domains_is_refused(
    installation: Installation, parts: wiring.ProcessParts, client: httpx2.AsyncClient, written: Written
) -> None:
    """From must be in the service's domains or be the instance's address; subdomains do not count."""
    for sender in ("eve@other.example", "a@sub.shop.example", "a@notshop.example", "Eve <root@instance.example>"):
        reply = await client.post("/v1/notifications", json=_except_for(**{"from": sender}))
        assert faults(reply) == {("/from", "from_not_allowed")}, sender
    async with installation.open_client(parts, installation.keys.other) as other:
        reply = await other.post("/v1/notifications", json=_except_for(**{"from": "a@shop.example"}))
        assert outcome(reply) == (422, "from_not_allowed")
    assert await written() == NOTHING
    for sender in ("a@shop.example", "Shop <A@SHOP.example>", "News <notifier@instance.example>"):
        assert (await client.post("/v1/notifications", json=_except_for(**{"from": sender}))).status_code == 202


async def test_mode_allow_takes_its_list_only(installation: Installation, written: Written) -> None:
    """In mode `allow` other recipients are refused at submit, and the reply names the setting."""
    mode = {"mode": RecipientsMode.ALLOW, "allow": ("Ada@Example.com", "@ok.example")}
    narrow = installation.with_settings(recipients=mode)
    async with narrow.open_parts() as parts, narrow.open_client(parts) as client:
        for to in ("bob@example.com", "eve@notok.example", "eve@sub.ok.example"):
            reply = await client.post("/v1/notifications", json=_except_for(to=to))
            assert faults(reply) == {("/to", "recipient_not_allowed")}, to
            assert "NOTIFIER_RECIPIENTS__" in reply.json()["detail"]
        copies = {"to": "ada@example.com", "cc": ["x@ok.example", "bob@example.com"], "bcc": ["eve@example.com"]}
        refused = faults(await client.post("/v1/notifications", json=_except_for(**copies)))
        assert refused == {("/cc/1", "recipient_not_allowed"), ("/bcc/0", "recipient_not_allowed")}
        assert await written() == NOTHING
        for to in ("ada@example.com", "ADA@EXAMPLE.COM", "bob@ok.example"):
            assert (await client.post("/v1/notifications", json=_except_for(to=to))).status_code == 202


async def test_mode_redirect_never_mails_the_original(installation: Installation, relay: ScriptedRelay) -> None:
    """All mails go to one address; the original appears in one header only."""
    mode = {"mode": RecipientsMode.REDIRECT, "redirect_to": "staging@ops.example"}
    staging = installation.with_settings(recipients=mode)
    async with staging.open_parts() as parts, staging.open_client(parts) as client:
        assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 202
        async with wiring.run_sender(parts):
            (mail,) = await relay.wait_for(1)
    assert mail.recipient == "staging@ops.example"
    assert mail.message["X-Notifier-Original-To"] == "ada@example.com"
    assert not [command for command in relay.commands if "ada@example.com" in command]
