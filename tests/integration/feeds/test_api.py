"""Feeds over the API: what is refused, who may do what, and edit conflicts."""

from typing import Any

import pytest
from integration.feeds.conftest import FeedShop, create_full_key
from sqlalchemy import func, select
from support.seeded_installation import Installation

from notifier.auth import key_admin
from notifier.auth.authenticated_key import ADMIN_SCOPES, KeyScope
from notifier.db.tables import Feed, FeedRevision, JobRun
from notifier.feeds import feed_rules
from notifier.feeds.feed_store import MAX_FEEDS

GOOD: dict[str, Any] = {"url": "https://feeds.example.org/prices.json"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no URL": ({"url": None}, "/url"),
    "plain HTTP": ({"url": "http://feeds.example.org/"}, "/url"),
    "an address": ({"url": "https://10.0.0.1/"}, "/url"),
    "a password": ({"url": "https://ada:canary@feeds.example.org/"}, "/url"),
    "another format": ({"format": "xml"}, "/format"),
    "no bytes": ({"max_bytes": 0}, "/max_bytes"),
    "too many bytes": ({"max_bytes": feed_rules.MAX_DOCUMENT_BYTES + 1}, "/max_bytes"),
    "no time": ({"timeout_seconds": 0}, "/timeout_seconds"),
    "too much time": ({"timeout_seconds": 31}, "/timeout_seconds"),
    "our own header": ({"headers": {"Host": "inside"}}, "/headers/Host"),
    "a length": ({"headers": {"content-LENGTH": "0"}}, "/headers/content-LENGTH"),
    "a name with a space": ({"headers": {"X Y": "z"}}, "/headers/X Y"),
    "a line end": ({"headers": {"X-Key": "a\r\nHost: inside"}}, "/headers/X-Key"),
    "an empty value": ({"headers": {"X-Key": ""}}, "/headers/X-Key"),
    "beyond ASCII": ({"headers": {"X-Key": "ключ"}}, "/headers/X-Key"),
    "twice": ({"headers": {"x-key": "a", "X-Key": "b"}}, "/headers/x-key"),
    "eleven": ({"headers": {f"X-{number}": "a" for number in range(11)}}, "/headers"),
    "no schema": ({"json_schema": {"type": "nonsense"}}, "/json_schema"),
    "a schema elsewhere": ({"json_schema": {"$ref": "http://127.0.0.1:9/"}}, "/json_schema"),
    "a file": ({"json_schema": {"$ref": "file:///etc/passwd"}}, "/json_schema"),
    "an unknown kind of schema": ({"json_schema": {"$schema": "http://127.0.0.1:9/"}}, "/json_schema"),
    "a schema without end": ({"json_schema": {"$defs": {"a": {"$ref": "#/no"}}, "$ref": "#/$defs/a"}}, "/json_schema"),
    "a large schema": ({"json_schema": {"const": "x" * 40_000}}, "/json_schema"),
    "an empty key": ({"row_key": ""}, "/row_key"),
    "an unknown field": ({"token": "x"}, "/token"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_refused_and_not_written(shop: FeedShop, case: str) -> None:
    """Each wrong setting is one fault with the pointer of its field, and nothing is written."""
    fields, pointer = WRONG[case]
    reply = await shop.client.put("/v1/feeds/prices", json=GOOD | fields)
    assert reply.status_code == 422, reply.text
    assert pointer in [error["pointer"] for error in reply.json()["errors"]]
    assert "canary" not in reply.text
    assert (await shop.client.get("/v1/feeds")).json() == {"feeds": []}


@pytest.mark.parametrize("name", ["No", "9", "a" * 65, "a.b"])
async def test_a_name_is_short_and_plain(shop: FeedShop, name: str) -> None:
    """A name is lower-case letters, digits, - and _, with a letter first."""
    reply = await shop.client.put(f"/v1/feeds/{name}", json=GOOD)
    assert [error["pointer"] for error in reply.json()["errors"]] == ["/name"]


async def test_save_get_list_delete(shop: FeedShop) -> None:
    """A feed is saved, replaced by what is sent, listed by name, and deleted with its revisions."""
    saved = (await shop.client.put("/v1/feeds/prices", json=GOOD | {"headers": {"X-Key": "canary"}})).json()
    assert (saved["revision"], saved["header_names"], saved["format"]) == (1, ["X-Key"], "json")
    assert (saved["max_bytes"], saved["timeout_seconds"], saved["json_schema"]) == (1024 * 1024, 10, None)
    schema = {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}
    changed = await shop.client.put("/v1/feeds/prices", json=GOOD | {"json_schema": schema, "revision": 1})
    assert (changed.json()["revision"], changed.json()["json_schema"]) == (2, schema)
    assert changed.json()["header_names"] == ["X-Key"]
    same = await shop.client.put("/v1/feeds/prices", json=GOOD | {"json_schema": schema})
    assert same.json()["revision"] == 2
    stale = await shop.client.put("/v1/feeds/prices", json=GOOD | {"revision": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "stale_feed")
    new = await shop.client.put("/v1/feeds/other", json=GOOD | {"revision": 1})
    assert (new.status_code, new.json()["code"]) == (409, "stale_feed")
    bare = (await shop.client.put("/v1/feeds/prices", json=GOOD | {"headers": {}})).json()
    assert (bare["header_names"], bare["json_schema"]) == ([], None)
    await shop.client.put("/v1/feeds/currencies", json=GOOD)
    listed = (await shop.client.get("/v1/feeds")).json()["feeds"]
    assert [feed["name"] for feed in listed] == ["currencies", "prices"]
    for name in ("currencies", "prices"):
        assert (await shop.client.delete(f"/v1/feeds/{name}")).status_code == 204
    assert (await shop.client.delete("/v1/feeds/prices")).status_code == 404
    async with shop.parts.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(Feed))).scalar_one() == 0


async def test_deleting_takes_the_revisions_along(running_shop: FeedShop) -> None:
    """A deleted feed leaves no document; a feed of the same name begins anew."""
    shop = running_shop
    await shop.save()
    shop.serve_document(b'{"a": 1}')
    await shop.fetch()
    assert (await shop.client.delete("/v1/feeds/prices")).status_code == 204
    async with shop.parts.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(FeedRevision))).scalar_one() == 0
    await shop.save()
    assert (await shop.list_revisions(), (await shop.get())["status"]) == ([], "new")


async def test_secrets_do_not_follow_a_url_to_another_host(shop: FeedShop) -> None:
    """Stored header fields stay with their host: for another one they must be sent again."""
    await shop.client.put("/v1/feeds/prices", json=GOOD | {"headers": {"X-Key": "canary"}})
    for url in (
        "https://thief.example.org/prices.json",
        "https://feeds.example.org:8443/prices.json",
        "https://feeds.example.org.thief.example/",
    ):
        reply = await shop.client.put("/v1/feeds/prices", json={"url": url})
        assert [error["code"] for error in reply.json()["errors"]] == ["headers_needed"]
    assert (await shop.client.put("/v1/feeds/prices", json={"url": "https://feeds.example.org/b"})).status_code == 200
    moved = await shop.client.put("/v1/feeds/prices", json={"url": "https://thief.example.org/", "headers": {}})
    assert (moved.status_code, moved.json()["header_names"]) == (200, [])


async def test_a_fetch_with_the_same_key_is_one_job(shop: FeedShop) -> None:
    """A repeated request with its Idempotency-Key gets the job of the first; for another feed it is refused."""
    await shop.client.put("/v1/feeds/prices", json=GOOD)
    await shop.client.put("/v1/feeds/other", json=GOOD)
    replies = [
        await shop.client.post(f"/v1/feeds/{name}/fetch", headers={"Idempotency-Key": "k"})
        for name in ("prices", "prices", "other")
    ]
    assert [reply.status_code for reply in replies] == [202, 202, 422]
    assert replies[0].json()["id"] == replies[1].json()["id"]
    assert [reply.headers.get("idempotent-replayed") for reply in replies[:2]] == [None, "true"]
    assert replies[2].json()["code"] == "idempotency_key_reused"
    wrong = await shop.client.post("/v1/feeds/prices/fetch", headers={"Idempotency-Key": "k" * 256})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_idempotency_key")
    async with shop.parts.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(JobRun))).scalar_one() == 1


async def test_an_owner_has_a_limited_number_of_feeds(shop: FeedShop) -> None:
    """One feed more than the maximum is refused; an existing one can still be changed."""
    for number in range(MAX_FEEDS):
        assert (await shop.client.put(f"/v1/feeds/f{number}", json=GOOD)).status_code == 200
    refused = await shop.client.put("/v1/feeds/more", json=GOOD)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_feeds")
    assert (await shop.client.put("/v1/feeds/f0", json=GOOD | {"max_bytes": 2048})).status_code == 200


async def test_feeds_are_seen_by_their_owner_only(installation: Installation, shop: FeedShop) -> None:
    """Another service and an admin do not see a service's feed, and may have one of the same name."""
    await shop.client.put("/v1/feeds/prices", json=GOOD)
    async with shop.parts.database.write() as connection:
        _, admin = await key_admin.insert_key(
            connection, None, key_admin.NewKey(scopes=ADMIN_SCOPES), now=shop.parts.clock.now()
        )
    for key in (await create_full_key(shop.parts, "other"), admin):
        async with installation.open_client(shop.parts, key) as stranger:
            assert (await stranger.get("/v1/feeds")).json() == {"feeds": []}
            for method, path in (
                ("GET", ""), ("DELETE", ""), ("POST", "/fetch"), ("POST", "/confirm"), ("GET", "/revisions"),
                ("GET", "/revisions/1"),
            ):  # fmt: skip
                reply = await stranger.request(method, f"/v1/feeds/prices{path}")
                assert (reply.status_code, reply.json()["code"]) == (404, "not_found"), path
            assert (await stranger.put("/v1/feeds/prices", json=GOOD | {"row_key": "id"})).status_code == 200
    assert (await shop.get())["row_key"] is None


async def test_scopes(installation: Installation, shop: FeedShop) -> None:
    """Reading needs `notifications:read`, changing `schedules:manage`."""
    await shop.client.put("/v1/feeds/prices", json=GOOD)
    async with installation.open_client(shop.parts, await create_full_key(shop.parts, "shop", KeyScope.READ)) as reader:
        for path in ("", "/prices", "/prices/revisions"):
            assert (await reader.get(f"/v1/feeds{path}")).status_code == 200
        for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/fetch"), ("POST", "/confirm")):
            reply = await reader.request(method, f"/v1/feeds/prices{path}", json=GOOD if method == "PUT" else None)
            assert (reply.status_code, reply.json()["code"]) == (403, "insufficient_scope")
    async with installation.open_client(
        shop.parts, await create_full_key(shop.parts, "shop", KeyScope.SCHEDULES)
    ) as manager:
        assert (await manager.get("/v1/feeds/prices")).status_code == 403
        assert (await manager.put("/v1/feeds/prices", json=GOOD)).status_code == 200
    assert (await shop.client.get("/v1/feeds/prices/revisions/0")).status_code == 404
    assert (await shop.client.get("/v1/feeds/prices/revisions/x")).status_code == 404
