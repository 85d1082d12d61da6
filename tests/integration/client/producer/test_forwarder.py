"""The forwarder between a real database and a real HTTP server that replies correctly, wrongly, late or never."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, select, update
from support.producer.caller_database import ORDERS, PRODUCER, CallerDatabase
from support.producer.scripted_api import Reply, ScriptedApi, build_problem

from notifier.client import producer
from notifier.client.producer import Forwarded, Forwarder, ForwarderLimits

QUICK = ForwarderLimits(request=timedelta(seconds=5), max_pause=timedelta(seconds=0.1))
KEY = "ntf_live_of_the_shop"


@asynccontextmanager
async def _forwarder(
    caller: CallerDatabase, api: ScriptedApi, limits: ForwarderLimits = QUICK, **more: Any
) -> AsyncIterator[Forwarder]:
    forwarder = Forwarder(caller.engine, url=api.url, key=KEY, limits=limits, **more)
    yield forwarder
    await forwarder.close()


async def test_what_is_committed_arrives_under_its_id_and_is_gone(caller: CallerDatabase, api: ScriptedApi) -> None:
    """All rows are sent unchanged in one request with the key, and deleted once they are accepted."""
    ids = await caller.several(3)
    async with _forwarder(caller, api) as forwarder:
        turn = await forwarder.forward_once()
        assert (turn.claimed, turn.accepted, turn.refused, turn.failure, turn.wait) == (3, 3, 0, None, 0)
        assert (await forwarder.forward_once()).is_idle
    assert api.keys == [str(id_) for id_ in ids]
    assert api.authorizations == {f"Bearer {KEY}"}
    assert api.requests[0][1] == {
        "to": "user1@example.com",
        "template": "welcome",
        "variables": {"name": "Ada", "product": "Larkspur"},
        "idempotency_key": str(ids[1]),
    }
    assert await caller.rows() == {}


async def test_a_refused_row_stays_and_lets_the_others_pass(caller: CallerDatabase, api: ScriptedApi) -> None:
    """A refused row is marked with its problem, whose pointers refer to the row's own body; the other rows are sent."""
    ids = await caller.several(3)
    api.errors["user1@example.com"] = "invalid_address"
    async with _forwarder(caller, api) as forwarder:
        turn = await forwarder.forward_once()
        assert (turn.accepted, turn.refused) == (2, 1)
        assert (await forwarder.forward_once()).is_idle
    (refused,) = await caller.do(producer.list_refused)
    fault = {"pointer": "/to", "code": "invalid_address", "detail": "no"}
    assert (refused.id, refused.problem) == (ids[1], {"code": "invalid_address", "errors": [fault]})
    assert set(await caller.rows()) == {ids[1]}


@pytest.mark.parametrize(
    "body", ["{", "[]", "null", '{"to": "a@b.example"} {}', "[" * 5000, '{"to": "\\ud800"}', '{"n": NaN}']
)
async def test_a_body_that_is_no_json_object_hurts_only_itself(
    caller: CallerDatabase, api: ScriptedApi, body: str
) -> None:
    """A body that is no JSON object, written with plain SQL, is refused here and never sent."""
    bad = uuid4()
    await caller.do(lambda connection: connection.execute(PRODUCER.insert().values(id=bad, body=body)))
    (good,) = await caller.several(1)
    async with _forwarder(caller, api) as forwarder:
        turn = await forwarder.forward_once()
    assert (turn.accepted, turn.refused) == (1, 1)
    assert api.keys == [str(good)]
    assert [row.problem["code"] for row in await caller.do(producer.list_refused)] == ["malformed_json"]


@pytest.mark.parametrize("drop", [Reply(drop=True, taken=True), Reply(taken=True, status=503, body={"code": "x"})])
async def test_a_lost_answer_is_asked_for_again_under_the_same_key(
    caller: CallerDatabase, api: ScriptedApi, drop: Reply
) -> None:
    """After a lost reply the request is repeated with the same keys, and the API replays it without a second mail."""
    ids = await caller.several(4)
    api.script.append(drop)
    async with _forwarder(caller, api) as forwarder:
        failed = await forwarder.forward_once()
        assert failed.failure is not None
        assert len(await caller.rows()) == 4
        await forwarder.drain()
    assert await caller.rows() == {}
    assert set(api.keys) == set(api.accepted) == {str(id_) for id_ in ids}


UNCLEAR = {
    "html": Reply(body=b"<html>all is well</html>", taken=True),
    "too few": Reply(body={"results": []}, taken=True),
    "200": Reply(status=200, body={"results": [{"index": 0, "id": str(uuid4())}]}),
    "no ids": Reply(body={"results": [{"index": 0}, {"index": 1, "id": None}]}, taken=True),
    "other order": Reply(body={"results": [{"index": 1, "id": str(uuid4())}, {"index": 0, "id": str(uuid4())}]}),
    "redirect": Reply(status=307, headers={"Location": "http://127.0.0.1:9/"}, body=b""),
    "502": Reply(status=502, body=b"<html>Bad gateway</html>"),
    "not json": Reply(status=202, body=b"\xff" * 10),
}


@pytest.mark.parametrize("reply", UNCLEAR.values(), ids=UNCLEAR)
async def test_what_is_not_confirmed_is_kept(caller: CallerDatabase, api: ScriptedApi, reply: Reply) -> None:
    """A row is deleted only when the reply names its notification; in the end each mail exists once."""
    ids = await caller.several(2)
    api.script.append(reply)
    async with _forwarder(caller, api) as forwarder:
        await forwarder.forward_once()
        assert set(await caller.rows()) == set(ids)
        await caller.backdate("due_at", timedelta(seconds=1))
        await forwarder.drain()
    assert await caller.rows() == {}
    assert set(api.accepted) == {str(id_) for id_ in ids}


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_obeyed_and_one_row_asks_first(
    caller: CallerDatabase, api: ScriptedApi, status: int
) -> None:
    """The forwarder waits for Retry-After, then sends one row, and doubles the number with each request."""
    await caller.several(4)
    api.script.append(build_problem(status, "busy", Retry_After="7"))
    async with _forwarder(caller, api) as forwarder:
        turn = await forwarder.forward_once()
        assert turn.failure == "busy"
        assert 7 <= turn.wait <= 9
        await forwarder.drain()
    assert [len(items) for items in api.requests] == [4, 1, 2, 1]


@pytest.mark.parametrize(
    "reply", [build_problem(401, "unauthenticated"), build_problem(404, "not_found"), build_problem(429, "busy")]
)
async def test_a_request_that_was_turned_away_leaves_the_rows_untried(
    caller: CallerDatabase, api: ScriptedApi, reply: Reply
) -> None:
    """A request that was rejected as a whole, for example for a wrong key, does not mark its rows as tried."""
    await caller.several(2)
    api.script.append(reply)
    async with _forwarder(caller, api) as forwarder:
        await forwarder.forward_once()
    assert [(row.first_tried_at, row.tries, row.refused_at) for row in (await caller.rows()).values()] == [
        (None, 0, None)
    ] * 2


async def test_an_api_that_is_away_loses_nothing_and_is_not_blamed_on_rows(
    caller: CallerDatabase, api: ScriptedApi
) -> None:
    """While nothing listens, rows stay untried and pauses grow; once the API listens, every row is sent."""
    await caller.several(3)
    elsewhere = Forwarder(caller.engine, url="http://127.0.0.1:9", key=KEY)
    waits = [(await elsewhere.forward_once()).wait for _ in range(5)]
    await elsewhere.close()
    assert waits == sorted(waits)
    assert 3 <= waits[-1] <= 4
    assert all(row.first_tried_at is None and row.tries == 0 for row in (await caller.rows()).values())
    async with _forwarder(caller, api) as forwarder:
        await forwarder.drain()
    assert len(api.accepted) == 3


async def test_a_row_that_breaks_every_request_it_is_in_ends_up_alone(caller: CallerDatabase, api: ScriptedApi) -> None:
    """A row for which the API replies 500 is sent alone and later again; the other rows arrive."""
    ids = await caller.several(9)
    poison = str(ids[4])
    api.rule = lambda items: Reply(status=500) if poison in {item["idempotency_key"] for item in items} else None
    async with _forwarder(caller, api) as forwarder:
        await forwarder.drain()
    assert set(api.accepted) == {str(id_) for id_ in ids} - {poison}
    (row,) = (await caller.rows()).values()
    assert (str(row.id), row.refused_at) == (poison, None)
    alone = [items for items in api.requests if [item["idempotency_key"] for item in items] == [poison]]
    assert row.tries == len(alone) > 0  # on a slow host it is due again before the end


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_row_for_which_the_whole_request_is_refused_is_refused(
    caller: CallerDatabase, api: ScriptedApi, status: int
) -> None:
    """A request-level refusal of a row that was sent alone is recorded as the refusal of that row."""
    ids = await caller.several(5)
    bad = str(ids[2])
    refusal = Reply(status=status, body={"code": "malformed_json", "detail": "no", "errors": []})
    api.rule = lambda items: refusal if bad in {item["idempotency_key"] for item in items} else None
    async with _forwarder(caller, api) as forwarder:
        await forwarder.drain()
    assert set(api.accepted) == {str(id_) for id_ in ids} - {bad}
    (refused,) = await caller.do(producer.list_refused)
    assert (str(refused.id), refused.problem["code"]) == (bad, "malformed_json")


async def test_what_says_nothing_against_a_row_is_asked_about_later(caller: CallerDatabase, api: ScriptedApi) -> None:
    """Rows that are in progress elsewhere, or for which the queue is too long, are sent again later."""
    await caller.several(2)
    api.errors |= {"user0@example.com": "idempotency_in_progress", "user1@example.com": "queue_too_long"}
    async with _forwarder(caller, api) as forwarder:
        turn = await forwarder.forward_once()
        assert (turn.accepted, turn.refused, turn.failure) == (0, 0, None)
        assert (await forwarder.forward_once()).is_idle
        api.errors.clear()
        await caller.backdate("due_at", timedelta(seconds=1))
        assert (await forwarder.forward_once()).accepted == 2


async def test_an_answer_that_never_comes_is_not_waited_for(caller: CallerDatabase, api: ScriptedApi) -> None:
    """The request timeout covers the whole exchange, from the first byte sent to the last byte received."""
    await caller.several(2)
    api.script.append(Reply(hang=True, taken=True))
    async with _forwarder(caller, api, ForwarderLimits(request=timedelta(seconds=0.2))) as forwarder:
        turn = await forwarder.forward_once()
        assert turn.failure in {"TimeoutError", "ReadTimeout"}
        assert len(await caller.rows()) == 2
        await forwarder.drain()
    assert len(api.accepted) == 2
    assert await caller.rows() == {}


async def test_the_caller_learns_the_ids_in_the_transaction_that_deletes_the_rows(
    caller: CallerDatabase, api: ScriptedApi
) -> None:
    """`on_accepted` writes in the transaction that deletes the rows, and is called once for each row."""
    ids = await caller.several(2)
    orders = [{"number": number, "mail": id_} for number, id_ in enumerate(ids)]
    await caller.do(lambda connection: connection.execute(ORDERS.insert(), orders))
    broken = asyncio.Event()
    broken.set()

    def note(connection: Connection, done: list[Forwarded]) -> None:
        for forwarded in done:
            note_of = update(ORDERS).where(ORDERS.c.mail == forwarded.id).values(note=str(forwarded.notification_id))
            connection.execute(note_of)
        if broken.is_set():
            raise LookupError

    async with _forwarder(caller, api, on_accepted=note) as forwarder:
        assert (await forwarder.forward_once()).failure == "LookupError"
        assert await _notes(caller) == dict.fromkeys(ids)
        assert set(await caller.rows()) == set(ids)
        broken.clear()
        await caller.backdate("due_at", timedelta(seconds=1))
        await forwarder.drain()
    assert await _notes(caller) == {id_: api.accepted[str(id_)] for id_ in ids}


async def _notes(caller: CallerDatabase) -> dict[UUID, str | None]:
    rows = await caller.do(lambda connection: connection.execute(select(ORDERS.c.mail, ORDERS.c.note)).all())
    return {row.mail: row.note for row in rows}
