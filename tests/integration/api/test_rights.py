"""A change that can send a mail needs the same rights as a submit."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from integration.api.refusal import outcome
from sqlalchemy import update
from support import api_caller, marketing_template
from support.seeded_installation import WELCOME, Installation

from notifier.auth import key_admin, service_admin
from notifier.auth.key_admin import NewKey
from notifier.db.tables import Service, get_columns
from notifier.runtime import wiring
from notifier.settings import RecipientsMode
from notifier.states import KeyKind, Status

TEAM = "/v1/team-recipients"
SENDING: dict[str, tuple[Status, str, dict[str, Any]]] = {
    "change": (Status.QUEUED, "", {"priority": "high"}),
    "retry": (Status.FAILED, "/retry", {}),
    "resend": (Status.UNKNOWN, "/resolve", {"as": "resend"}),
}
"""What lets a mail leave: the status before, where it is asked for, and how."""
STOPPING: dict[str, tuple[Status, str, dict[str, Any]]] = {
    "cancel": (Status.QUEUED, "/cancel", {}),
    "resolve": (Status.UNKNOWN, "/resolve", {"as": "failed"}),
}


@pytest.fixture
async def shop(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop with every scope."""
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        yield client


async def _team_key(parts: wiring.ProcessParts) -> dict[str, str]:
    async with parts.database.write() as connection:
        service = await service_admin.find_service(connection, "shop")
        _, key = await key_admin.insert_key(connection, service, NewKey(kind=KeyKind.TEAM), now=parts.clock.now())
    return {"Authorization": f"Bearer {key}"}


async def _asked(
    client: httpx2.AsyncClient, path: str, how: tuple[Status, str, dict[str, Any]], by: dict[str, str] | None = None
) -> tuple[int, str]:
    _, place, body = how
    return outcome(await client.request("POST" if place else "PATCH", path + place, json=body, headers=by))


async def test_a_team_key_sends_nothing_to_who_has_left_the_team(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """A team key cannot send a mail or copy to a former member, but can stop it."""
    by = await _team_key(parts)
    for people, fields in ((["bob@example.com"], {}), (["ada@example.com"], {"cc": ["bob@example.com"]})):
        for name, how in (SENDING | STOPPING).items():
            if fields and name != "change":  # a copy is retried and resolved for itself
                continue
            await shop.put(TEAM, json={"recipients": ["ada@example.com", "bob@example.com"]})
            made = await shop.post("/v1/notifications", json=WELCOME | fields, headers=by)
            assert made.status_code == 202, made.text
            await shop.put(TEAM, json={"recipients": people})
            path = made.headers["location"]
            await api_caller.set_notification(parts.database, path, status=how[0])
            want = (422, "recipient_not_allowed") if name in SENDING else (200, "")
            new_key = await _team_key(parts)  # the other's list is remembered for a second
            assert await _asked(shop, path, how, new_key) == want, name


async def test_a_mail_to_who_is_off_the_list_is_not_sent_again(
    installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """The current allow-list of the instance applies to every key."""
    strict = installation.with_settings(recipients={"mode": RecipientsMode.ALLOW, "allow": ("eve@example.com",)})
    async with strict.open_parts() as narrowed, strict.open_client(narrowed) as client:
        for name, how in (SENDING | STOPPING).items():
            path = await api_caller.submit_mail(shop)
            await api_caller.set_notification(parts.database, path, status=how[0])
            want = (422, "recipient_not_allowed") if name in SENDING else (200, "")
            assert await _asked(client, path, how) == want, name


async def test_a_mail_from_a_domain_that_was_taken_away_is_not_sent_again(
    installation: Installation, parts: wiring.ProcessParts, shop: httpx2.AsyncClient
) -> None:
    """The service no longer has the From domain, so the mail is not sent again."""
    paths = {}
    for name, how in (SENDING | STOPPING).items():
        paths[name] = await api_caller.submit_mail(shop, **{"from": "orders@shop.example"})
        await api_caller.set_notification(parts.database, paths[name], status=how[0])
    async with parts.database.write() as connection:
        await connection.execute(update(Service).where(get_columns(Service).name == "shop").values(from_domains=[]))
    async with installation.open_client(parts) as client:
        for name, how in (SENDING | STOPPING).items():
            want = (422, "from_not_allowed") if name in SENDING else (200, "")
            assert await _asked(client, paths[name], how) == want, name
