"""No key can exceed its rights: every route that changes something, with every kind of key and of row.

A new route fails here until it has a row in `RULES`.
"""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support import api_caller
from support.seeded_installation import WELCOME, Installation
from support.staff_people import STAFF_OPERATIONS

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import SERVICE_SCOPES, KeyScope
from notifier.auth.key_admin import NewKey
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.states import KeyKind, Status


class Rule(Enum):
    """The rows that a key may change by a route."""

    ROW = "notifications made by keys within its reach; the others are not there (404)"
    KEY = "keys within its reach; the others are listed, and 403"
    LIVE = "what live mail depends on: only a live key, 403 for the others"
    ADMIN = "the same, of the instance: a live or an admin key"
    OWN = "what it makes itself, which is of its own kind"
    STAFF = "services, people who sign in: only an admin key with the scope (test_services.py, test_staff.py)"
    MERGE = "merges that keys within its reach uploaded; the others are not there (404)"
    DRAFT = "what no mail depends on before a live or an admin key publishes it, or nothing at all"


RULES = {
    "submit_notification": Rule.OWN,
    "submit_batch": Rule.OWN,
    "test_template": Rule.OWN,
    "update_notification": Rule.ROW,
    "cancel_notification": Rule.ROW,
    "retry_notification": Rule.ROW,
    "resolve_notification": Rule.ROW,
    "cancel_batch": Rule.ROW,
    "create_merge": Rule.MERGE,
    "start_merge": Rule.MERGE,
    "pause_merge": Rule.MERGE,
    "resume_merge": Rule.MERGE,
    "cancel_merge": Rule.MERGE,
    "create_key": Rule.KEY,
    "rotate_key": Rule.KEY,
    "revoke_key": Rule.KEY,
    "set_team_recipients": Rule.LIVE,
    **dict.fromkeys(("create_service", "update_service", "create_staff", "set_staff_roles"), Rule.STAFF),
    **dict.fromkeys(("disable_staff", "enable_staff", "create_staff_link", "revoke_staff_sessions"), Rule.STAFF),
    "add_suppression": Rule.LIVE,
    "lift_suppression": Rule.LIVE,
    "create_webhook": Rule.LIVE,
    "update_webhook": Rule.LIVE,
    "delete_webhook": Rule.LIVE,
    "rotate_webhook_secret": Rule.LIVE,
    "test_webhook": Rule.LIVE,
    "replay_webhook_delivery": Rule.LIVE,
    "replay_failed_webhook_deliveries": Rule.LIVE,
    "save_schedule": Rule.ADMIN,
    "save_schedules": Rule.ADMIN,
    "switch_schedule": Rule.ADMIN,
    "delete_schedule": Rule.ADMIN,
    "run_schedule": Rule.ADMIN,
    "cancel_job": Rule.ADMIN,
    "pause_job": Rule.ADMIN,
    "resume_job": Rule.ADMIN,
    "retry_job": Rule.ADMIN,
    "save_feed": Rule.ADMIN,
    "delete_feed": Rule.ADMIN,
    "fetch_feed": Rule.ADMIN,
    "confirm_feed": Rule.ADMIN,
    "try_template": Rule.ADMIN,
    "publish_template": Rule.ADMIN,
    "push_templates": Rule.ADMIN,
    "restore_template": Rule.ADMIN,
    "delete_template": Rule.ADMIN,
    "save_template_draft": Rule.DRAFT,
    "discard_template_draft": Rule.DRAFT,
    "preview_template": Rule.DRAFT,
    "render_source": Rule.DRAFT,
    "save_layout": Rule.DRAFT,
    "delete_layout": Rule.DRAFT,
    "upload_asset": Rule.DRAFT,
    "delete_asset": Rule.DRAFT,
}
KINDS = tuple(KeyKind)
REACH = (KeyKind.TEST, KeyKind.TEAM, KeyKind.LIVE)
"""The kinds of key, from the weakest."""
BEYOND, FORBIDDEN = (404, "not_found"), (403, "key_kind_not_allowed")


def _operations() -> dict[str, tuple[str, str]]:
    """Each operation that changes something: its method and path."""
    document: dict[str, Any] = json.loads(Path("openapi.json").read_text(encoding="utf-8"))
    return {
        described["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        if method in {"post", "put", "patch", "delete"}
    }


OPERATIONS = _operations()


@dataclass(frozen=True)
class Scene:
    """The shop with a key of each kind, each with every scope, and an admin key."""

    parts: wiring.ProcessParts
    http: httpx2.AsyncClient
    keys: Mapping[KeyKind, str]
    admin: str

    async def ask(
        self, operation: str, key: str, *, id_: str = "", body: Mapping[str, Any] | None = None
    ) -> tuple[int, str]:
        """Send a request, with `id_` for each path parameter; return the status and the code."""
        method, path = OPERATIONS[operation]
        filled = "/".join(id_ or str(generate_id()) if part.startswith("{") else part for part in path.split("/"))
        headers = {"Authorization": f"Bearer {key}"}
        if body is None:
            reply = await self.http.request(method, filled, headers=headers)
        else:
            reply = await self.http.request(method, filled, headers=headers, json=dict(body))
        return reply.status_code, reply.json().get("code", "") if reply.content else ""

    async def key(self, kind: KeyKind, **wish: Any) -> tuple[str, str]:
        """Create a key of the shop; return its id and the key."""
        async with self.parts.database.write() as connection:
            service = await service_admin.find_service(connection, "shop")
            properties = NewKey(**{"kind": kind, "scopes": SERVICE_SCOPES} | wish)
            id_, key = await key_admin.insert_key(connection, service, properties, now=self.parts.clock.now())
        return str(id_), key

    async def row(self, kind: KeyKind, status: Status) -> str:
        """Create a notification with a key of this kind; return its id."""
        self.http.headers["Authorization"] = f"Bearer {self.keys[KeyKind.LIVE]}"
        path = await api_caller.submit_mail(self.http)
        await api_caller.set_notification(self.parts.database, path, kind=kind, status=status)
        return path.rpartition("/")[2]


@pytest.fixture
async def scene(sqlite_installation: Installation) -> AsyncIterator[Scene]:
    async with sqlite_installation.open_parts() as parts, sqlite_installation.open_client(parts) as http:
        async with parts.database.write() as connection:
            service = await service_admin.find_service(connection, "shop")
            made = {
                kind: (
                    await key_admin.insert_key(
                        connection, service, NewKey(kind=kind, scopes=SERVICE_SCOPES), now=parts.clock.now()
                    )
                )[1]
                for kind in KINDS
            }
            wish = NewKey(scopes=tuple(KeyScope))
            _, admin = await key_admin.insert_key(connection, None, wish, now=parts.clock.now())
        yield Scene(parts, http, made, admin)


def test_every_route_that_changes_something_has_a_rule() -> None:
    """Each changing route has a rule with the rights of each kind of key, and each rule has a route."""
    assert set(RULES) == set(OPERATIONS)


async def test_only_a_live_key_changes_what_live_mail_depends_on(scene: Scene) -> None:
    """A test or team key gets 403 before its request is read."""
    for operation in (name for name, rule in RULES.items() if rule in {Rule.LIVE, Rule.ADMIN}):
        for kind in KINDS:
            answer = await scene.ask(operation, scene.keys[kind])
            assert (answer == FORBIDDEN) == (kind is not KeyKind.LIVE), (operation, kind, answer)
        if RULES[operation] is Rule.ADMIN:
            assert (await scene.ask(operation, scene.admin))[0] != 403, operation


async def test_a_key_of_no_service_changes_only_mail_of_a_service(scene: Scene) -> None:
    """An admin key with every scope changes notifications, suppressions and keys, and nothing else of a service."""
    of_services = {Rule.ROW, Rule.LIVE, Rule.OWN, Rule.MERGE}
    for operation in {name for name, rule in RULES.items() if rule in of_services} - STAFF_OPERATIONS:
        assert await scene.ask(operation, scene.admin) == (403, "insufficient_scope"), operation


BODIES: dict[str, tuple[Status, dict[str, Any] | None]] = {
    "update_notification": (Status.QUEUED, {"variables": WELCOME["variables"]}),
    "cancel_notification": (Status.QUEUED, None),
    "retry_notification": (Status.FAILED, None),
    "resolve_notification": (Status.UNKNOWN, {"as": "sent"}),
}
"""In which status a notification can be changed, and how."""


async def test_a_key_changes_no_row_beyond_its_reach(scene: Scene) -> None:
    """A row beyond the key's reach is 404, like another service's; a row within reach is changed."""
    operations = [name for name, rule in RULES.items() if rule is Rule.ROW and name != "cancel_batch"]
    assert set(operations) == set(BODIES)
    team = {"recipients": [WELCOME["to"]]}
    assert (await scene.ask("set_team_recipients", scene.keys[KeyKind.LIVE], body=team))[0] == 200
    for operation in operations:
        status, body = BODIES[operation]
        for row_kind in KINDS:
            id_ = await scene.row(row_kind, status)
            for kind in REACH:  # from the weakest, so that the first key with the right makes the change
                answer = await scene.ask(operation, scene.keys[kind], id_=id_, body=body)
                if row_kind in REACH[: REACH.index(kind) + 1]:
                    assert answer[0] == 200, (operation, kind, row_kind, answer)
                    break
                assert answer == BEYOND, (operation, kind, row_kind, answer)


async def test_a_key_cancels_no_batch_beyond_its_reach(scene: Scene) -> None:
    """A batch with a single mail beyond the key's reach cannot be cancelled."""
    for row_kind in KINDS:
        body = {"notifications": [WELCOME, WELCOME]}
        made = await scene.http.post("/v1/notifications/batch", json=body)
        batch = made.json()["batch_id"]
        path = f"/v1/notifications/{made.json()['results'][1]['id']}"
        await api_caller.set_notification(scene.parts.database, path, kind=row_kind)
        for kind in REACH:
            answer = await scene.ask("cancel_batch", scene.keys[kind], id_=batch)
            # The first mail stays live, beyond the reach of weaker keys.
            assert (answer[0] == 200) == (kind is KeyKind.LIVE), (kind, row_kind, answer)
            assert answer == BEYOND or kind is KeyKind.LIVE


async def test_a_key_makes_and_ends_no_key_beyond_its_reach(scene: Scene) -> None:
    """A key creates, rotates and revokes only keys of its own or a weaker kind."""
    for other in KINDS:
        for kind in KINDS:
            within = other in REACH[: REACH.index(kind) + 1]
            id_, _ = await scene.key(other)
            body = {"name": "x", "kind": other.value, "scopes": ["notifications:send"]}
            for operation, sent, want in (
                ("create_key", body, 201),
                ("rotate_key", None, 201),
                ("revoke_key", None, 200),
            ):
                answer = await scene.ask(operation, scene.keys[kind], id_=id_, body=sent)
                assert answer == ((want, "") if within else FORBIDDEN), (operation, kind, other, answer)


async def test_what_a_key_submits_is_of_its_kind(scene: Scene) -> None:
    """A mail gets the kind of its key, alone, in a batch or as a template's test; a team key mails only the team."""
    ways: dict[str, dict[str, Any]] = {
        "submit_notification": dict(WELCOME),
        "submit_batch": {"notifications": [WELCOME]},
        "test_template": {"to": "ada@example.com"},
    }
    assert set(ways) == {name for name, rule in RULES.items() if rule is Rule.OWN}
    for operation, body in ways.items():
        for kind in KINDS:
            answer = await scene.ask(operation, scene.keys[kind], id_="welcome", body=body)
            want = (422, "recipient_not_allowed") if kind is KeyKind.TEAM else (202, "")
            assert answer == want, (operation, kind, answer)


async def test_a_key_reads_no_mail_beyond_its_reach(scene: Scene) -> None:
    """A key reads the status, but not the content, of mail beyond its reach, which may hold a sign-in link."""
    for row_kind in KINDS:
        path = f"/v1/notifications/{await scene.row(row_kind, Status.QUEUED)}"
        for kind in KINDS:
            headers = {"Authorization": f"Bearer {scene.keys[kind]}"}
            within = row_kind in REACH[: REACH.index(kind) + 1]
            assert (await scene.http.get(path, headers=headers)).status_code == 200
            reply = await scene.http.get(f"{path}/content", headers=headers)
            assert reply.status_code == (200 if within else 404), (kind, row_kind)


async def test_idempotency_keys_of_kinds_are_apart(scene: Scene) -> None:
    """The same idempotency key under keys of different kinds creates different notifications."""
    live = scene.keys[KeyKind.LIVE]
    team = {"recipients": [WELCOME["to"]]}
    assert (await scene.ask("set_team_recipients", live, body=team))[0] == 200
    made, batches = [], []
    for _ in range(2):
        for kind in REACH:
            headers = {"Authorization": f"Bearer {scene.keys[kind]}", "Idempotency-Key": "order-1"}
            reply = await scene.http.post("/v1/notifications", json=WELCOME, headers=headers)
            made.append((reply.json()["id"], reply.headers.get("Idempotent-Replayed")))
            batch = {"notifications": [WELCOME]}
            reply = await scene.http.post(
                "/v1/notifications/batch", json=batch, headers=headers | {"Idempotency-Key": "b"}
            )
            batches.append((reply.json()["batch_id"], reply.json()["results"][0]["replayed"]))
    assert [replayed for _, replayed in made] == [None] * 3 + ["true"] * 3
    assert [replayed for _, replayed in batches] == [False] * 3 + [True] * 3
    assert made[:3] == [(id_, None) for id_, _ in made[3:]]
    assert len({id_ for id_, _ in made}) == len({id_ for id_, _ in batches}) == 3
