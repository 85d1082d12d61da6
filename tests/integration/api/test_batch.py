"""`POST /v1/notifications/batch`: a result for each item in order, in both modes, with shared keys."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, faults, outcome
from sqlalchemy import select
from support.document_blocks import list_blocks
from support.seeded_installation import WELCOME, Installation

from notifier.db.tables import Notification, NotificationContent, get_columns
from notifier.runtime import wiring

ROOT = Path(__file__).parents[3]
BATCH = "/v1/notifications/batch"
_notification = get_columns(Notification)


def _to(number: int, **fields: Any) -> dict[str, Any]:
    return WELCOME | {"to": f"user{number}@example.com"} | fields


def _many(count: int) -> list[dict[str, Any]]:
    return [_to(number) for number in range(count)]


async def _post(
    client: httpx2.AsyncClient, notifications: Any, *, key: str | None = None, **fields: Any
) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key is not None else None
    return await client.post(BATCH, json={"notifications": notifications} | fields, headers=headers)


async def _results(client: httpx2.AsyncClient, notifications: Any, **more: Any) -> list[dict[str, Any]]:
    reply = await _post(client, notifications, **more)
    assert reply.status_code == 202, reply.text
    results: list[dict[str, Any]] = reply.json()["results"]
    assert [result["index"] for result in results] == list(range(len(notifications)))
    return results


async def test_each_has_an_answer_in_order(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, written: Written
) -> None:
    """With several commits, the n-th result is still the n-th notification, as GET shows it."""
    results = await _results(client, _many(450))
    assert {(result["status"], result["replayed"]) for result in results} == {("queued", False)}
    async with parts.database.read() as connection:
        rows = (await connection.execute(select(_notification.id, _notification.recipient))).all()
    recipients = {str(row.id): row.recipient for row in rows}
    assert [recipients[result["id"]] for result in results] == [body["to"] for body in _many(450)]
    assert await written() == (450, 450, 450)
    notification = (await client.get(f"/v1/notifications/{results[7]['id']}")).json()
    assert (notification["to"], notification["created_at"]) == ("user7@example.com", results[7]["created_at"])


async def test_defaults_are_merged_and_variables_by_name(
    client: httpx2.AsyncClient, parts: wiring.ProcessParts, written: Written
) -> None:
    """Missing fields come from the defaults; variables are merged one by one."""
    defaults = {"template": "welcome", "locale": "fr", "variables": {"name": "you", "product": "Larkspur"}}
    await _results(
        client, [{"to": "a@x.org"}, {"to": "b@x.org", "locale": "de", "variables": {"name": "Bob"}}], defaults=defaults
    )
    async with parts.database.read() as connection:
        statement = select(_notification.recipient, _notification.locale, get_columns(NotificationContent).variables)
        rows = (await connection.execute(statement.join(NotificationContent).order_by(_notification.recipient))).all()
    assert [tuple(row) for row in rows] == [
        ("a@x.org", "fr", {"name": "you", "product": "Larkspur"}),
        ("b@x.org", "de", {"name": "Bob", "product": "Larkspur"}),
    ]
    assert await written() == (2, 2, 2)


async def test_one_fault_refuses_all(client: httpx2.AsyncClient, written: Written) -> None:
    """By default one fault refuses the whole batch, with all pointers; the corrected batch is accepted."""
    broken = [*_many(210), _to(1, to="nobody"), {"to": "c@x.org", "template": "gone"}, 7, _to(2, colour="red")]
    reply = await _post(client, broken, key="batch-1")
    assert faults(reply) == {
        ("/notifications/210/to", "invalid_address"),
        ("/notifications/211/template", "unknown_template"),
        ("/notifications/212", "invalid_type"),
        ("/notifications/213/colour", "unknown_field"),
    }
    assert await written() == NOTHING
    assert (await _post(client, _many(214), key="batch-1")).status_code == 202


async def test_faults_of_a_default_are_told_once_and_there(client: httpx2.AsyncClient, written: Written) -> None:
    """A fault in the defaults is reported once, with a pointer to the defaults."""
    defaults = {"template": "welcome", "locale": "???", "idempotency_key": "k", "variables": {"name": 7}}
    notifications = [{"to": f"u{n}@x.org", "variables": {"product": "Larkspur"}} for n in range(5)]
    reply = await _post(client, notifications, defaults=defaults)
    assert faults(reply) == {
        ("/defaults/locale", "invalid_locale"),
        ("/defaults/idempotency_key", "unknown_field"),
        ("/defaults/variables/name", "wrong_variable_type"),
    }
    assert len(reply.json()["errors"]) == 3
    assert await written() == NOTHING


async def test_at_most_a_hundred_faults_are_told(client: httpx2.AsyncClient) -> None:
    """A reply lists at most 100 faults."""
    reply = await _post(client, [_to(n, to="nobody") for n in range(300)])
    assert outcome(reply) == (422, "invalid_address")
    assert len(reply.json()["errors"]) == 100


async def test_the_good_ones_are_written_when_the_others_are_skipped(
    client: httpx2.AsyncClient, written: Written
) -> None:
    """With `skip_invalid`, refused items have their errors in place, and the others are accepted."""
    broken = [_to(0), _to(1, to="nobody"), _to(2, locale="???", to="x"), _to(3)]
    results = await _results(client, broken, on_error="skip_invalid")
    assert ["id" in result for result in results] == [True, False, False, True]
    assert results[1]["error"]["code"] == "invalid_address"
    assert results[1]["error"]["errors"][0]["pointer"] == "/notifications/1/to"
    assert results[2]["error"]["code"] == "invalid_request"
    assert {error["pointer"] for error in results[2]["error"]["errors"]} == {
        "/notifications/2/to",
        "/notifications/2/locale",
    }
    assert await written() == (2, 2, 2)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"variables": {"name": "Ada"}}, "missing_variable"),
        ({"to": "a@x.org\r\nBcc: e@x.org"}, "invalid_address"),
        ({"to": "\u00fc@x.org"}, "smtputf8_not_supported"),
        ({"reply_to": "A\u2028B <a@x.org>"}, "invalid_header_value"),
        ({"headers": {"Bcc": "e@x.org"}}, "header_not_allowed"),
        ({"send_at": "2026-12-01T08:00:00"}, "naive_time"),
        ({"send_at": "2199-12-01T08:00:00Z"}, "time_out_of_range"),
        ({"from": "a@elsewhere.example"}, "from_not_allowed"),
        ({"template_version": 99}, "unknown_template_version"),
        ({"idempotency_key": ""}, "invalid_idempotency_key"),
        ({"idempotency_key": 7}, "invalid_idempotency_key"),
    ],
)
async def test_each_is_checked_like_a_single_one(client: httpx2.AsyncClient, fields: dict[str, Any], code: str) -> None:
    """A batch refuses the same items as single POSTs; the others are accepted."""
    results = await _results(client, [_to(0, **fields), _to(1)], on_error="skip_invalid")
    assert results[0]["error"]["code"] == code
    assert results[1]["status"] == "queued"


async def test_a_batch_of_another_shape_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """No items, too many, an unknown mode or field, or not a list: 422; not JSON: 400."""
    wrong: tuple[Any, ...] = (
        {"notifications": []},
        {"notifications": [WELCOME] * 1001},
        {"notifications": WELCOME},
        {"notifications": [WELCOME], "on_error": "hope"},
        {"notifications": [WELCOME], "mode": "fast"},
        {"notifications": [WELCOME], "defaults": [WELCOME]},
        {"notifications": None},
        {},
        [],
    )
    for body in wrong:
        assert (await client.post(BATCH, json=body)).status_code == 422, str(body)[:80]
    reply = await client.post(BATCH, content=b"{", headers={"Content-Type": "application/json"})
    assert outcome(reply) == (400, "malformed_json")
    assert await written() == NOTHING


async def test_sizes_are_limited_with_the_defaults_counted(client: httpx2.AsyncClient, written: Written) -> None:
    """512 KiB per notification and 15 MiB per request, with the defaults counted."""
    large = {"variables": {"name": "x" * (512 * 1024), "product": "p"}}
    assert faults(await _post(client, [_to(0), _to(1, **large)])) == {("/notifications/1", "too_large")}
    assert outcome(await _post(client, [_to(n, **large) for n in range(31)])) == (413, "request_too_large")
    defaults = {"template": "welcome", "variables": {"name": "x" * 400_000, "product": "p"}}
    many = [{"to": f"u{n}@x.org"} for n in range(50)]
    assert outcome(await _post(client, many, defaults=defaults)) == (413, "request_too_large")
    assert await written() == NOTHING


async def test_a_repeated_batch_is_answered_from_the_first(client: httpx2.AsyncClient, written: Written) -> None:
    """With one key in the header a repeated batch gets the same ids, marked as replays."""
    broken = [_to(0), _to(1, to="nobody"), _to(2)]
    first = await _results(client, broken, key="batch-1", on_error="skip_invalid")
    again = await _results(client, [_to(0), _to(1), _to(2)], key="batch-1")
    assert [again[n]["id"] == first[n]["id"] for n in (0, 2)] == [True, True]
    assert [result["replayed"] for result in again] == [True, False, True]
    assert await written() == (3, 3, 3)


async def test_a_hundred_equal_batches_at_once_are_one(client: httpx2.AsyncClient, written: Written) -> None:
    """Concurrent equal batches write one set of rows."""
    every = await asyncio.gather(*(_results(client, _many(3), key="batch-1") for _ in range(30)))
    assert len({tuple(result["id"] for result in results) for results in every}) == 1
    assert sum(not result["replayed"] for results in every for result in results) == 3
    assert await written() == (3, 3, 3)


async def test_keys_of_a_batch_and_of_single_posts_are_one_space(client: httpx2.AsyncClient, written: Written) -> None:
    """Item keys, and the header's key with the index, equal the keys of single POSTs."""
    results = await _results(client, [_to(0, idempotency_key="mine"), _to(1)], key="batch-1")
    for key, body, result in (("mine", _to(0), results[0]), ("batch-1#1", _to(1), results[1])):
        reply = await client.post("/v1/notifications", json=body, headers={"Idempotency-Key": key})
        assert (reply.json()["id"], reply.headers["idempotent-replayed"]) == (result["id"], "true")
    other = await client.post("/v1/notifications", json=_to(9), headers={"Idempotency-Key": "mine"})
    assert outcome(other) == (422, "idempotency_key_reused")
    assert await written() == (2, 2, 2)


async def test_a_key_used_for_something_else_is_refused(client: httpx2.AsyncClient, written: Written) -> None:
    """A key reused for another body refuses all, or only the later item."""
    await client.post("/v1/notifications", json=_to(0), headers={"Idempotency-Key": "old"})
    bodies = [_to(1, idempotency_key="old"), _to(2, idempotency_key="new"), _to(3, idempotency_key="new"), _to(4)]
    reply = await _post(client, bodies)
    assert faults(reply) == {(f"/notifications/{n}", "idempotency_key_reused") for n in (0, 2)}
    assert await written() == (1, 1, 1)
    results = await _results(client, bodies, on_error="skip_invalid")
    assert ["id" in result for result in results] == [False, True, False, True]
    assert await written() == (3, 3, 3)


async def test_the_same_one_twice_is_one(client: httpx2.AsyncClient, written: Written) -> None:
    """Equal items with one key write one row; the second is a replay."""
    results = await _results(client, [_to(0, idempotency_key="k"), _to(0, idempotency_key="k")])
    assert results[0]["id"] == results[1]["id"]
    assert [result["replayed"] for result in results] == [False, True]
    assert await written() == (1, 1, 1)


async def test_the_header_key_leaves_room_for_the_index(client: httpx2.AsyncClient) -> None:
    """The header's key has at most 251 characters, so that the index can be appended."""
    assert (await _post(client, _many(1), key="k" * 251)).status_code == 202
    assert outcome(await _post(client, _many(1), key="k" * 252)) == (400, "invalid_idempotency_key")


async def test_a_key_that_may_only_read_is_refused(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A batch needs the same scope as a single POST."""
    async with installation.open_client(parts, installation.keys.reader) as reader:
        assert outcome(await _post(reader, _many(1))) == (403, "insufficient_scope")


async def test_a_batch_for_later_is_shown_as_scheduled(client: httpx2.AsyncClient) -> None:
    """Results have the statuses that GET shows."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert [result["status"] for result in await _results(client, [_to(0, send_at=tomorrow), _to(1)])] == [
        "scheduled",
        "queued",
    ]


async def test_the_documented_batch_is_accepted(client: httpx2.AsyncClient, written: Written) -> None:
    """The example in docs/calling.md works unchanged."""
    (body,) = (json.loads(item.text) for item in list_blocks("docs/calling.md") if item.rest == f"{BATCH} 202")
    assert [item["status"] for item in (await client.post(BATCH, json=body)).json()["results"]] == ["queued"] * 2
    assert await written() == (2, 2, 2)


async def test_the_documentation_has_both_ways_to_submit(client: httpx2.AsyncClient) -> None:
    """OpenAPI describes request and response of a batch field by field."""
    document = (await client.get("/openapi.json")).json()
    paths = document["paths"]
    post = paths[BATCH]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    named = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert set(named["properties"]) == {"defaults", "notifications", "on_error"}
    assert post["responses"]["202"]["content"]["application/json"]["schema"]["$ref"].endswith("/BatchOut")
    assert "post" in paths["/v1/notifications"]


async def test_others_are_served_while_a_batch_is_taken_in(client: httpx2.AsyncClient) -> None:
    """While a batch of a thousand is processed, single POSTs are accepted."""
    assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 202
    batch = asyncio.create_task(_post(client, _many(1000)))
    served = 0
    while not batch.done():
        assert (await client.post("/v1/notifications", json=WELCOME)).status_code == 202
        served += 1
    assert (await batch).status_code == 202
    assert served >= 5
