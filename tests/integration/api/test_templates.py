"""`/v1/templates`: save with a revision, publish, restore, delete; scopes and audit."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from integration.api.clock import ForwardClock
from integration.api.refusal import outcome
from support import api_caller, template_editor
from support.closed_gate import REASON, ClosedGate
from support.documented_transport import DocumentedTransport
from support.seeded_installation import WELCOME, Installation
from support.template_editor import FILES, PATH

from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring
from notifier.templating.publishing import Publisher

MAIL: dict[str, Any] = {"to": "ada@example.com", "template": "greeting", "variables": template_editor.SAMPLE}


@pytest.fixture
async def staff(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An editor with an admin key."""
    async with installation.open_client(parts, await template_editor.create_admin_key(parts)) as client:
        yield client


async def _deeds(staff: httpx2.AsyncClient) -> list[str]:
    entries = (await staff.get("/v1/audit", params={"limit": 200})).json()["entries"]
    return [entry["action"] for entry in reversed(entries)]


async def test_the_life_of_a_template(staff: httpx2.AsyncClient) -> None:
    """Saved, published, changed, published and restored, with the right data and audit entries."""
    first = await template_editor.save_draft(staff)
    assert (first["number"], first["has_draft"], first["variables_schema"]["required"]) == (0, True, ["name", "order"])
    listed = (await staff.get("/v1/templates")).json()["templates"]
    assert (listed[0]["slug"], listed[0]["number"], listed[0]["has_draft"]) == ("greeting", 0, True)
    made = await staff.post(f"{PATH}/publish", json={"revision": first["revision"], "note": "the first"})
    assert (made.status_code, made.headers["location"]) == (201, f"{PATH}/versions/1"), made.text
    whole = (await staff.get(made.headers["location"])).json()
    assert (whole["files"], whole["note"], whole["content_hash"]) == (FILES, "the first", made.json()["content_hash"])
    assert (await staff.get(f"{PATH}/draft")).json()["has_draft"] is False

    changed: dict[str, Any] = {"files": {"body.html": "<p>Bye {{ name }}: {{ order.id }}, {{ reason }}.</p>"}}
    sample = template_editor.SAMPLE | {"reason": "sold out"}
    now = await template_editor.publish_draft(staff, "1.0", **changed, sample=sample)
    assert (now["number"], now["has_draft"], now["revision"]) == (2, False, "2.0")
    diff = (await staff.get(f"{PATH}/diff", params={"from": "1", "to": "2"})).json()
    assert [(difference["file"], difference["change"]) for difference in diff["files"]] == [
        ("body.html", "changed"),
        ("sample.json", "changed"),
    ]
    assert "+<p>Bye" in diff["files"][0]["diff"]
    assert diff["variables"] == {"added": ["reason"], "removed": []}
    assert set((await staff.get(f"{PATH}/schema")).json()["properties"]) == {"name", "order", "reason"}
    assert set((await staff.get(f"{PATH}/schema?version=1")).json()["properties"]) == {"name", "order"}

    draft = await template_editor.save_draft(staff, "2.0", settings={"name": "Another"})
    back = await staff.post(f"{PATH}/restore", json={"version": 1, "note": "too early"})
    assert (back.status_code, back.json()["number"], back.json()["content_hash"]) == (201, 3, whole["content_hash"])
    assert (await staff.get(f"{PATH}/draft")).json()["settings"]["name"] == "Another"
    again = await staff.post(f"{PATH}/restore", json={"version": 1, "revision": draft["revision"]})
    assert (again.status_code, again.json()["code"]) == (409, "stale_draft")
    assert outcome(await staff.post(f"{PATH}/restore", json={"version": 3})) == (409, "nothing_to_publish")
    numbers = [version["number"] for version in (await staff.get(f"{PATH}/versions")).json()["versions"]]
    assert numbers == [3, 2, 1]
    assert await _deeds(staff) == [
        "template.saved", "template.published", "template.saved", "template.published", "template.saved",
        "template.restored",
    ]  # fmt: skip


async def test_of_twenty_who_save_at_once_one_wins(staff: httpx2.AsyncClient) -> None:
    """Of twenty concurrent saves one is 200 and nineteen are 409; the winner's text is stored."""
    for revision in ("", "1.0"):
        wishes = [
            template_editor.build_draft(revision, settings={"name": f"Editor {number} of {revision}"})
            for number in range(20)
        ]
        replies = await asyncio.gather(*(staff.put(f"{PATH}/draft", json=wish) for wish in wishes))
        assert sorted(reply.status_code for reply in replies) == [200] + [409] * 19
        winner = next(wish for wish, reply in zip(wishes, replies, strict=True) if reply.status_code == 200)
        stands = (await staff.get(f"{PATH}/draft")).json()
        assert stands["settings"]["name"] == winner["settings"]["name"]
        published = await staff.post(f"{PATH}/publish", json={"revision": stands["revision"]})
        assert published.status_code == 201, published.text


async def test_who_is_late_sees_both_sides(staff: httpx2.AsyncClient) -> None:
    """409 has both texts and their diff; a discarded draft's revision is not valid for a new one."""
    first = await template_editor.save_draft(staff)
    await template_editor.save_draft(staff, first["revision"], files={"subject.txt": "Good morning {{ name }}"})
    late = await staff.put(
        f"{PATH}/draft",
        json=template_editor.build_draft(first["revision"], files={"subject.txt": "Good evening {{ name }}"}),
    )
    problem = late.json()
    assert (late.status_code, problem["code"]) == (409, "stale_draft")
    words = r"Edit conflict: somebody saved this draft at \d\d:\d\d UTC. Reload it and apply your change again."
    assert re.fullmatch(words, problem["detail"])
    assert problem["theirs"]["files"]["subject.txt"] == "Good morning {{ name }}"
    assert problem["yours"]["files"]["subject.txt"] == "Good evening {{ name }}"
    assert "-Good morning {{ name }}\n+Good evening {{ name }}\n" in problem["diff"][0]["diff"]
    merged = await template_editor.save_draft(staff, problem["theirs"]["revision"], files=problem["yours"]["files"])

    published = await template_editor.publish_draft(staff, merged["revision"])
    draft = await template_editor.save_draft(staff, published["revision"], settings={"name": "One"})
    gone = await staff.delete(f"{PATH}/draft", params={"revision": draft["revision"]})
    assert (gone.status_code, (await staff.get(f"{PATH}/draft")).json()["has_draft"]) == (204, False)
    await template_editor.save_draft(staff, published["revision"], settings={"name": "Two"})
    late = await staff.put(f"{PATH}/draft", json=template_editor.build_draft(draft["revision"]))
    assert (late.status_code, late.json()["theirs"]["settings"]["name"]) == (409, "Two")


async def test_a_change_counts_at_once_for_who_asks_the_same_process(
    installation: Installation, staff: httpx2.AsyncClient
) -> None:
    """After publish, delete or restore, the next POST to the same process uses the change."""
    shop = {"Authorization": f"Bearer {installation.keys.shop}"}

    async def posted(**fields: Any) -> int | str:
        """The version that a new mail gets, or why it gets none."""
        reply = await staff.post("/v1/notifications", json=MAIL | fields, headers=shop)
        if reply.status_code != 202:
            return str(reply.json()["errors"][0]["code"])
        notification = await staff.get(reply.headers["location"], headers=shop)
        return int(notification.json()["template_version"])

    now = await template_editor.publish_draft(staff)
    assert [await posted(), await posted(template_version=1)] == [1, 1]
    await template_editor.publish_draft(staff, now["revision"], files={"body.html": "<p>{{ name }}{{ order.id }}</p>"})
    assert [await posted(), await posted(template_version=1)] == [2, 1]
    assert (await staff.delete(PATH)).status_code == 204
    assert [await posted(), await posted(template_version=1)] == ["unknown_template"] * 2
    assert (await staff.post(f"{PATH}/restore")).status_code == 200
    assert await posted() == 2


async def test_a_deleted_template_sends_what_was_accepted(
    installation: Installation, forward: tuple[wiring.ProcessParts, ForwardClock]
) -> None:
    """C9: after a deletion accepted mails are sent, new ones are refused; a restore reverts that."""
    parts, clock = forward
    admin = await template_editor.create_admin_key(parts)
    async with installation.open_client(parts, admin) as staff, installation.open_client(parts) as shop:
        now = await template_editor.publish_draft(staff)
        accepted = await api_caller.submit_mail(shop, **MAIL)
        await template_editor.publish_draft(
            staff, now["revision"], files={"body.html": "<p>{{ name }}{{ order.id }}</p>"}
        )
        assert (await staff.delete(PATH)).status_code == 204
        assert (await staff.delete(PATH)).status_code == 204
        clock.seconds += 2  # the shop asks another process
        assert outcome(await shop.post("/v1/notifications", json=MAIL)) == (422, "unknown_template")
        pinned = MAIL | {"template_version": 1}
        assert outcome(await shop.post("/v1/notifications", json=pinned)) == (422, "unknown_template")
        assert outcome(await staff.put(f"{PATH}/draft", json=template_editor.build_draft("2.0"))) == (
            409,
            "template_deleted",
        )
        assert [template["slug"] for template in (await staff.get("/v1/templates")).json()["templates"]].count(
            "greeting"
        ) == 0
        listed = (await staff.get("/v1/templates", params={"include_deleted": True})).json()["templates"]
        assert listed[0]["deleted_at"] is not None
        async with wiring.run_sender(parts):
            await api_caller.wait_for_status(shop, accepted, "sent")
        back = await staff.post(f"{PATH}/restore")
        assert (back.status_code, back.json()["deleted_at"]) == (200, None)
        clock.seconds += 2
        assert (await shop.post("/v1/notifications", json=MAIL)).status_code == 202
        assert (await _deeds(staff))[-2:] == ["template.deleted", "template.restored"]


async def test_keys_do_what_their_scopes_say(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A service's key needs the scopes; only an admin key can override the gate."""
    reading = await template_editor.create_admin_key(parts, KeyScope.TEMPLATES_READ)
    async with installation.open_client(parts, reading) as client:
        assert (await client.get("/v1/templates/welcome")).status_code == 200
        whoami = (await client.get("/v1/whoami")).json()
        assert (whoami["service"], whoami["scopes"], whoami["from_domains"]) == (None, ["templates:read"], [])
        for method, path, body in (
            ("PUT", f"{PATH}/draft", template_editor.build_draft()),
            ("POST", "/v1/templates/welcome/publish", {"revision": "1.0"}),
            ("POST", "/v1/notifications", WELCOME),
            ("GET", "/v1/notifications", None),
            ("GET", "/v1/keys", None),
            ("GET", "/v1/audit", None),
        ):
            reply = await client.request(method, path, json=body)
            assert outcome(reply) == (403, "insufficient_scope"), path
    async with installation.open_client(parts) as shop:
        assert outcome(await shop.get("/v1/templates")) == (403, "insufficient_scope")
    publishing = await template_editor.create_admin_key(parts, KeyScope.TEMPLATES_PUBLISH)
    async with installation.open_client(parts, publishing) as client:
        forced = {"revision": "1.0", "force_reason": "now"}
        assert outcome(await client.post("/v1/templates/welcome/publish", json=forced)) == (403, "insufficient_scope")


async def test_a_closed_gate_needs_a_reason(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A blocked publish is 409 with the report; an admin key can override it with an audited reason."""
    app = wiring.build_api(parts)
    dependencies = app.state.dependencies
    app.state.dependencies = replace(
        dependencies, publisher=Publisher(parts.database.read, dependencies.editors.get_renderer("test"), ClosedGate())
    )
    by = {"Authorization": f"Bearer {await template_editor.create_admin_key(parts)}"}
    async with httpx2.AsyncClient(
        transport=DocumentedTransport(app=app), base_url="http://notifier", headers=by
    ) as staff:
        revision = (await template_editor.save_draft(staff))["revision"]
        refused = await staff.post(f"{PATH}/publish", json={"revision": revision})
        assert (refused.status_code, refused.json()["code"]) == (409, "gate_closed")
        assert refused.json()["report"]["reasons"] == [REASON]
        assert (await staff.get(PATH)).json()["number"] == 0
        forced = await staff.post(f"{PATH}/publish", json={"revision": revision, "force_reason": "the shop knows"})
        assert (forced.status_code, forced.json()["report"]) == (201, refused.json()["report"])
        entry = (await staff.get("/v1/audit")).json()["entries"][0]
        assert (entry["action"], entry["after"]["forced"]) == ("template.published", "the shop knows")


async def test_layouts_change_nothing_that_is_published(staff: httpx2.AsyncClient) -> None:
    """Layouts are saved by revision, used at the next publish, and not deleted while in use."""
    path = "/v1/layouts/frame.html"
    text = "<div>{% block content %}{% endblock %}</div>"
    both = await asyncio.gather(*(staff.put(path, json={"text": text, "revision": 0}) for _ in range(2)))
    assert sorted(reply.status_code for reply in both) == [200, 409]
    body = '{% extends "_layouts/frame.html" %}{% block content %}{{ name }} {{ order.id }}{% endblock %}'
    now = await template_editor.publish_draft(staff, files={"body.html": body})
    changed = await staff.put(path, json={"text": text.replace("div", "section"), "revision": 1})
    assert (changed.json()["revision"], changed.json()["used_by"]) == (2, ["greeting"])
    late = await staff.put(path, json={"text": "mine", "revision": 1})
    assert (late.status_code, late.json()["theirs"]["revision"], late.json()["yours"]) == (409, 2, {"text": "mine"})
    assert "-<section>" in late.json()["diff"][0]["diff"]
    assert (await staff.get(f"{PATH}/versions/1")).json()["files"]["_layouts/frame.html"] == text
    diff = (await staff.get(f"{PATH}/diff", params={"from": "1"})).json()
    assert [file["file"] for file in diff["files"]] == ["_layouts/frame.html"]
    again = await staff.post(f"{PATH}/publish", json={"revision": now["revision"]})
    assert (again.status_code, again.json()["number"]) == (201, 2), again.text
    back = await staff.post(f"{PATH}/restore", json={"version": 1})
    pinned: dict[str, Any] = (await staff.get(back.headers["location"])).json()
    assert pinned["files"]["_layouts/frame.html"] == text
    assert outcome(await staff.delete(path, params={"revision": 2})) == (409, "layout_in_use")
    assert "frame.html" in [layout["name"] for layout in (await staff.get("/v1/layouts")).json()["layouts"]]
