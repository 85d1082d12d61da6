"""Drafts that are saved with mistakes in them: kept, and neither published, tried nor sent."""

import httpx2
import pytest
from integration.api.refusal import faults, outcome
from support import template_editor
from support.seeded_installation import Installation
from support.template_editor import PATH, build_draft

from notifier.runtime import wiring

WRONG = {"body.html": "<p>Hello {{ name }}</p>\n<p>{{ order.id|mony }}</p>"}


async def save_unfinished(client: httpx2.AsyncClient, revision: str, **changes: object) -> httpx2.Response:
    """Save a draft whatever is wrong with it."""
    return await client.put(f"{PATH}/draft", json=build_draft(revision, **changes) | {"unfinished": True})


async def test_a_draft_with_a_mistake_is_kept_and_goes_nowhere(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """It is saved with its place; publish, gate and test mail name the mistake; mended, it is published."""
    async with installation.open_client(parts, await template_editor.create_admin_key(parts)) as staff:
        now = await template_editor.publish_draft(staff)
        refused = await staff.put(f"{PATH}/draft", json=build_draft(now["revision"], files=WRONG))
        assert refused.status_code == 422
        saved = await save_unfinished(staff, now["revision"], files=WRONG)
        assert saved.status_code == 200, saved.text
        draft = (await staff.get(f"{PATH}/draft")).json()
        assert draft["files"]["body.html"] == WRONG["body.html"]
        assert [(fault["part"], fault["line"]) for fault in draft["faults"]] == [("body.html", 2)]
        expected = {("/files/body.html", "template_failed")}
        assert faults(await staff.post(f"{PATH}/gate")) == expected
        assert faults(await staff.post(f"{PATH}/publish", json={"revision": draft["revision"]})) == expected
        assert faults(await staff.post(f"{PATH}/test-send", json={"to": "ada@example.com"})) == expected
        assert (await staff.get(PATH)).json()["number"] == 1
        mended = await template_editor.save_draft(staff, draft["revision"], files={"body.html": "<p>{{ name }}</p>"})
        assert mended["faults"] == []
        published = await staff.post(f"{PATH}/publish", json={"revision": mended["revision"]})
        assert published.status_code == 201, published.text


async def test_wrong_settings_and_sample_are_kept_too(installation: Installation, parts: wiring.ProcessParts) -> None:
    """A reserved name, a missing variable and a missing part are kept; a file that no template has is not."""
    async with installation.open_client(parts, await template_editor.create_admin_key(parts)) as staff:
        strange = {"settings": {"name": "Greeting", "secret": ["nowhere"]}, "sample": {"loop": 1, "name": "Ada"}}
        saved = await save_unfinished(staff, "", **strange)
        assert {fault["part"] for fault in saved.json()["faults"]} >= {"template.toml", "sample.json"}
        unknown = await save_unfinished(staff, saved.json()["revision"], files={"body.exe": "x"})
        assert faults(unknown) == {("/files/body.exe", "unknown_file")}
        revision = saved.json()["revision"]
        assert outcome(await staff.post(f"{PATH}/publish", json={"revision": revision}))[0] == 422


@pytest.mark.parametrize("installation", ["postgresql"], indirect=True)
async def test_a_finished_draft_is_not_marked(installation: Installation, parts: wiring.ProcessParts) -> None:
    """`unfinished` only allows faults: without any, the draft is as good as any other."""
    async with installation.open_client(parts, await template_editor.create_admin_key(parts)) as staff:
        saved = await save_unfinished(staff, "")
        assert saved.json()["faults"] == []
        reply = await staff.post(f"{PATH}/publish", json={"revision": saved.json()["revision"]})
        assert reply.status_code == 201, reply.text
