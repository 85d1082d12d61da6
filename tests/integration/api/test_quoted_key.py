"""An Idempotency-Key in quotes, as in the IETF draft, equals the key inside them."""

import asyncio

import httpx2
import pytest
from integration.api.refusal import NOTHING, Written, outcome, problem
from support.seeded_installation import WELCOME

PATH = "/v1/notifications"


def _key(text: str) -> dict[str, str]:
    return {"Idempotency-Key": text}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("k1", '"k1"'),
        ('"k1"', "k1"),
        (r'"an \"escaped\" \\ key"', r'an "escaped" \ key'),
        ('"order 7; part=1"', "order 7; part=1"),
        (r'"\"k1\""', r'"\"k1\""'),
        ('"' + "k" * 255 + '"', "k" * 255),
        ("'k1'", "'k1'"),
    ],
)
async def test_a_key_in_quotes_is_the_key_within(
    client: httpx2.AsyncClient, written: Written, first: str, then: str
) -> None:
    """A key with quotes and without is a replay of the other form."""
    replies = [await client.post(PATH, json=WELCOME, headers=_key(key)) for key in (first, then)]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert replies[0].json()["id"] == replies[1].json()["id"]
    assert replies[1].headers["idempotent-replayed"] == "true"
    assert await written() == (1, 1, 1)


async def test_both_forms_at_once_are_one(client: httpx2.AsyncClient, written: Written) -> None:
    """Twenty concurrent requests, half of them in quotes, write one row."""
    keys = ("k1", '"k1"') * 10
    replies = await asyncio.gather(*(client.post(PATH, json=WELCOME, headers=_key(key)) for key in keys))
    assert {reply.json()["id"] for reply in replies} == {replies[0].json()["id"]}
    assert await written() == (1, 1, 1)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('"k1', "not closed"),
        ('"', "not closed"),
        (r'"k1\"', "not closed"),
        (r'"a\b"', "not closed"),
        ('"k1"x', "follow the closing quote"),
        ('"k1"; a=1', "follow the closing quote"),
        ('"k1", "k2"', "follow the closing quote"),
        ('""', "1 to 255"),
        ('" k1"', "1 to 255"),
        ('"k1 "', "1 to 255"),
        ('"' + "k" * 256 + '"', "1 to 255"),
    ],
)
async def test_what_is_no_string_in_quotes_is_400(
    client: httpx2.AsyncClient, written: Written, key: str, message: str
) -> None:
    """An invalid quoted key is refused, and the message says what is wrong."""
    reply = await client.post(PATH, json=WELCOME, headers=_key(key))
    assert outcome(reply) == (400, "invalid_idempotency_key")
    assert message in problem(reply)["detail"]
    assert await written() == NOTHING


async def test_two_keys_are_none(client: httpx2.AsyncClient, written: Written) -> None:
    """Two Idempotency-Key headers are refused."""
    headers = [("Idempotency-Key", "k1"), ("Idempotency-Key", "k2")]
    assert outcome(await client.post(PATH, json=WELCOME, headers=headers)) == (400, "invalid_idempotency_key")
    assert await written() == NOTHING


async def test_keys_within_a_batch_are_read_alike(client: httpx2.AsyncClient, written: Written) -> None:
    """In a batch the keys of items and of the header are read in the same way."""
    single = await client.post(PATH, json=WELCOME, headers=_key("k1"))
    for own, whole in (('"k1"', '"whole"'), ("k1", "whole")):
        items = [WELCOME | {"idempotency_key": own}, WELCOME | {"to": "bob@example.com"}]
        reply = await client.post(f"{PATH}/batch", json={"notifications": items}, headers=_key(whole))
        assert reply.json()["results"][0]["id"] == single.json()["id"]
        assert reply.json()["results"][0]["replayed"]
    assert reply.json()["results"][1]["replayed"]
    assert await written() == (2, 2, 2)
    bad = {"notifications": [WELCOME | {"idempotency_key": '"k1'}]}
    assert outcome(await client.post(f"{PATH}/batch", json=bad)) == (422, "invalid_idempotency_key")
