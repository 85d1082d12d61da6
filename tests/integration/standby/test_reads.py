"""NOTIFIER_DATABASE_READ_URL: what is read from the standby, and what never is."""

import asyncio
import re

import httpx2
import pytest
from integration.standby.standby_story import TOMORROW, list_ids, pause, post
from pydantic import SecretStr, ValidationError
from support import api_caller
from support.console_client import open_console
from support.fresh_probes import fetch_fresh
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import WELCOME
from support.staff_people import StaffScene
from support.standby_server import StandbyServer

from notifier.auth.staff_roles import StaffRole
from notifier.cli.used_settings import list_used_settings
from notifier.db.database_url import DatabaseUrlError, parse_database_url, parse_read_url
from notifier.lookup.standby_reader import MAX_STANDBY_LAG
from notifier.runtime import wiring
from notifier.settings import IsolatedSettings


async def test_no_decision_reads_from_the_standby(
    parts: wiring.ProcessParts,
    shop: httpx2.AsyncClient,
    admin: httpx2.AsyncClient,
    standby: StandbyServer,
    relay: ScriptedRelay,
) -> None:
    """While the standby shows nothing new, the whole story works: submit, get, send, list, repeat, cancel, suppress."""
    await pause(standby)
    async with wiring.run_sender(parts):
        sent = await post(shop, "order-1")
        path, id_ = sent.headers["location"], sent.json()["id"]
        assert (await shop.get(path)).json()["id"] == id_
        assert (await api_caller.wait_for_status(shop, path, "sent"))["attempts"]
        again = await post(shop, "order-1")
        assert (again.json()["id"], again.headers["idempotent-replayed"]) == (id_, "true")
        later = await post(shop, "order-2", **TOMORROW)
        assert (await shop.post(f"{later.headers['location']}/cancel")).json()["status"] == "cancelled"
        assert (await shop.get(later.headers["location"])).json()["status"] == "cancelled"
        assert await list_ids(shop) == [later.json()["id"], id_]
        assert await list_ids(admin, "?idempotency_key=order-2") == [later.json()["id"]]
        assert await list_ids(admin, f"?id_prefix={id_[:8]}") != []
        barred = await admin.post("/v1/suppressions", json={"address": "gone@example.com", "scope": "all"})
        assert barred.status_code == 201, barred.text
        assert (await post(shop, "order-3", to="gone@example.com")).json()["status"] == "suppressed"
        assert await list_ids(admin) == []  # so it was read from the standby, which did not show any of this
    assert [mail.recipient for mail in relay.received] == [WELCOME["to"]]


async def test_search_and_statistics_are_read_from_the_standby(
    shop: httpx2.AsyncClient, admin: httpx2.AsyncClient, standby: StandbyServer
) -> None:
    """What was replayed is found by an admin key; the statistics answer; the metrics say that the standby is read."""
    id_ = (await post(shop, "order-1")).json()["id"]
    await asyncio.to_thread(standby.wait_until_replayed)
    assert await list_ids(admin) == [id_]
    assert (await admin.get("/v1/stats")).status_code == 200
    shown = (await fetch_fresh(admin, "/metrics")).text
    assert "notifier_standby_usable 1.0" in shown
    lag = re.search(r"^notifier_standby_lag_seconds (\S+)$", shown, re.MULTILINE)
    assert lag is not None
    assert 0 <= float(lag[1]) <= MAX_STANDBY_LAG


async def test_the_console_searches_on_the_standby_and_shows_a_mail_from_the_primary(
    parts: wiring.ProcessParts, shop: httpx2.AsyncClient, standby: StandbyServer
) -> None:
    """The list is that of the standby, except on the page after a change; a mail itself is always up to date."""
    _, signed_in = await StaffScene(parts.database, parts.clock).create_signed_in("Sam", StaffRole.SUPPORT)
    await pause(standby)
    id_ = (await post(shop, "order-1", **TOMORROW)).json()["id"]
    async with open_console(parts, signed_in.token) as browser:
        assert id_ not in (await browser.get("/console/mail?q=status:scheduled")).text
        assert (await browser.get(f"/console/mail/{id_}")).status_code == 200
        form = {"id": id_, "q": "status:cancelled"}
        changed = await browser.post("/console/mail/cancel", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert changed.status_code == 303
        assert id_ in (await browser.get(changed.headers["location"])).text


def test_doctor_names_the_standby_without_its_password() -> None:
    """The URL is among the settings in use, and its secret is not."""
    settings = IsolatedSettings(
        database_url=SecretStr("postgresql://ada:s3cret@db1/mail"),
        database_read_url=SecretStr("postgresql://ada:s3cret@db2/mail"),
    )
    used = {setting["variable"]: setting["value"] for setting in list_used_settings(settings)}
    assert used["NOTIFIER_DATABASE_READ_URL"] == "PostgreSQL at db2:5432, database mail as ada"


def test_the_url_of_a_standby_is_refused_on_sqlite() -> None:
    """SQLite has no standby, and a standby is no SQLite file."""
    with pytest.raises(ValidationError, match="NOTIFIER_DATABASE_READ_URL needs PostgreSQL"):
        IsolatedSettings(database_read_url=SecretStr("postgresql://db/notifier"))
    with pytest.raises(DatabaseUrlError, match="SQLite has no standby"):
        parse_read_url("sqlite:///file.sqlite3")


def test_only_the_url_of_a_standby_may_ask_for_one() -> None:
    """`target_session_attrs=standby` is for NOTIFIER_DATABASE_READ_URL only."""
    url = "postgresql://one,two/notifier?target_session_attrs=standby"
    assert parse_read_url(url).parameters.session == "standby"
    with pytest.raises(DatabaseUrlError, match="target_session_attrs"):
        parse_database_url(url)
