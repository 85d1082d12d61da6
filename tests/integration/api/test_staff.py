"""`/v1/staff`: people who sign in are created, changed and signed out by an admin key with the scope."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from integration.api.refusal import faults, outcome
from support.seeded_installation import Installation
from support.staff_people import ORIGIN, PASSWORD, StaffScene

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import ADMIN_SCOPES, KeyScope
from notifier.auth.key_admin import NewKey
from notifier.auth.staff_link import LinkEndedError
from notifier.auth.staff_sign_in import SignInRefusedError
from notifier.runtime import wiring

PATH = "/v1/staff"
ROUTES = [
    (method.upper(), path.replace("{staff_id}", "0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa"))
    for path, methods in json.loads(Path("openapi.json").read_text())["paths"].items()
    for method in methods
    if path.startswith(PATH)
]
"""Each operation on people, of somebody who does not exist."""


@pytest.fixture
async def admin(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with an admin key that may manage staff, and read the audit."""
    async with parts.database.write() as connection:
        wish = NewKey(scopes=(KeyScope.STAFF, KeyScope.AUDIT))
        _, key = await key_admin.insert_key(connection, None, wish, now=parts.clock.now())
    async with installation.open_client(parts, key) as client:
        yield client


@pytest.fixture
def scene(parts: wiring.ProcessParts) -> StaffScene:
    return StaffScene(parts.database, parts.clock)


async def test_the_life_of_a_person(admin: httpx2.AsyncClient, scene: StaffScene) -> None:
    """A person is created, signs in by the link, gets roles, is listed, signed out, disabled and enabled."""
    body = {"email": "Ana@Staff.example", "name": "Ana", "roles": ["editor", "admin"]}
    made = await admin.post(PATH, json=body)
    assert made.status_code == 201, made.text
    person = made.json()
    link = person.pop("link")
    path = f"{PATH}/{person['id']}"
    assert (made.headers["location"], made.headers["cache-control"]) == (path, "no-store")
    assert (person["email"], person["roles"], person["has_password"]) == (
        "ana@staff.example",
        ["editor", "admin"],
        False,
    )
    assert link["purpose"] == "welcome"
    token = link["url"].removeprefix("/console/welcome/")
    await scene.authenticator.use_link(token, PASSWORD, ORIGIN)
    sessions = (await admin.get(f"{path}/sessions")).json()["sessions"]
    assert [(session["from_address"], session["browser"]) for session in sessions] == [(ORIGIN.address, ORIGIN.browser)]
    shown = (await admin.get(path)).json()
    assert shown["has_password"] is True
    assert shown["seen_at"] == sessions[0]["seen_at"]
    await admin.post(PATH, json=body | {"email": "ben@staff.example", "name": "Ben", "roles": ["admin"]})
    changed = await admin.put(f"{path}/roles", json={"roles": ["support"]})
    assert changed.json()["roles"] == ["support"]
    assert (await admin.delete(f"{path}/sessions")).json() == {"ended": 1}
    assert (await admin.delete(f"{path}/sessions")).json() == {"ended": 0}
    page = await admin.get(PATH, params={"limit": 1})
    assert [item["name"] for item in page.json()["staff"]] == ["Ben"]
    rest = await admin.get(PATH, params={"before": page.json()["next"]})
    assert rest.json() == {"staff": [changed.json()], "next": None}
    for _ in range(2):
        gone = await admin.post(f"{path}/disable")
        assert gone.json()["disabled_at"] is not None
    with pytest.raises(SignInRefusedError):
        await scene.sign_in("ana@staff.example")
    assert (await admin.post(f"{path}/enable")).json()["disabled_at"] is None
    await scene.sign_in("ana@staff.example")
    entries = (await admin.get("/v1/audit", params={"object_id": person["id"]})).json()["entries"]
    assert [entry["action"] for entry in reversed(entries)] == [
        *("staff.created", "staff.link_created", "staff.password_set", "staff.signed_in"),
        *("staff.changed", "staff.session_revoked", "staff.disabled", "staff.enabled", "staff.signed_in"),
    ]
    assert "ana@staff.example" not in str(entries)
    assert token not in str(entries)


async def test_a_new_link_ends_the_old_one(admin: httpx2.AsyncClient, scene: StaffScene) -> None:
    """A second link replaces the first; for who has a password it is a reset; the token is stored nowhere."""
    person = await scene.create_person("Ana")
    first, second = [(await admin.post(f"{PATH}/{person.id}/link")).json() for _ in range(2)]
    with pytest.raises(LinkEndedError):
        await scene.authenticator.use_link(first["url"].rpartition("/")[2], PASSWORD, ORIGIN)
    await scene.authenticator.use_link(second["url"].rpartition("/")[2], PASSWORD, ORIGIN)
    assert (await admin.post(f"{PATH}/{person.id}/link")).json()["purpose"] == "reset"


async def test_what_is_refused(admin: httpx2.AsyncClient, scene: StaffScene) -> None:
    """The last admin stays, an address is one person, a disabled person gets no link, unknown people are 404."""
    made = (await admin.post(PATH, json={"email": "ana@staff.example", "name": "Ana", "roles": ["admin"]})).json()
    path = f"{PATH}/{made['id']}"
    assert outcome(await admin.post(f"{path}/disable")) == (409, "last_admin")
    assert outcome(await admin.put(f"{path}/roles", json={"roles": []})) == (409, "last_admin")
    again = {"email": "ANA@staff.example", "name": "Ana"}
    assert outcome(await admin.post(PATH, json=again)) == (409, "staff_exists")
    assert faults(await admin.post(PATH, json=again | {"email": "nobody"})) == {("/email", "invalid_address")}
    assert faults(await admin.post(PATH, json=again | {"roles": ["king"]})) == {("/roles/0", "invalid_type")}
    ben = await scene.create_person("Ben")
    await admin.post(f"{PATH}/{ben.id}/disable")
    assert outcome(await admin.post(f"{PATH}/{ben.id}/link")) == (409, "staff_disabled")
    strange = f"{PATH}/0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa"
    for method, suffix in (
        ("GET", ""),
        ("GET", "/sessions"),
        ("POST", "/link"),
        ("POST", "/disable"),
        ("POST", "/enable"),
        ("DELETE", "/sessions"),
    ):
        assert outcome(await admin.request(method, strange + suffix)) == (404, "not_found"), suffix


async def test_only_an_admin_key_with_the_scope_manages_staff(
    installation: Installation, parts: wiring.ProcessParts, admin: httpx2.AsyncClient
) -> None:
    """A service's key with every scope it can have, and an admin key by default, reach nobody who signs in."""
    now = parts.clock.now()
    async with parts.database.write() as connection:
        service = await service_admin.find_service(connection, "shop")
        properties = NewKey(scopes=tuple(KeyScope))
        _, strong = await key_admin.insert_key(connection, service, properties, now=now)
        _, plain = await key_admin.insert_key(connection, None, NewKey(scopes=ADMIN_SCOPES), now=now)
    assert len(ROUTES) == 9
    for method, path in ROUTES:
        for key in (strong, plain):
            reply = await admin.request(method, path, headers={"Authorization": f"Bearer {key}"})
            assert outcome(reply) == (403, "insufficient_scope"), (method, path)
        assert (await admin.request(method, path)).status_code in {200, 404, 415, 422}, (method, path)
