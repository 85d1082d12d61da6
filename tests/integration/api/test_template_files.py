"""`/v1/template-files`: templates of a folder are pushed all or nothing, and read as files."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from integration.api.refusal import outcome
from support import sample_images, template_editor
from support.seeded_installation import Installation
from support.template_editor import FILES, PATH, SAMPLE

from notifier.auth.authenticated_key import KeyScope
from notifier.runtime import wiring

FOLDER = "/v1/template-files"
SETTINGS = {"name": "Greeting"}
LAYOUT = "<html><body>{% block content %}{% endblock %}</body></html>"
BODY = '{% extends "_layouts/plain.html" %}{% block content %}<p>{{ name }} {{ order.id }}</p>{% endblock %}'


@pytest.fixture
async def staff(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An editor with an admin key."""
    async with installation.open_client(parts, await template_editor.create_admin_key(parts)) as client:
        yield client


def build_template(**files: str) -> dict[str, Any]:
    """Build a template with other texts; a name is without its suffix."""
    names = {"subject": "subject.txt", "html": "body.html"}
    return {
        "files": FILES | {names[name]: text for name, text in files.items()},
        "sample": SAMPLE,
        "settings": SETTINGS,
    }


async def push(staff: httpx2.AsyncClient, templates: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Push, and return the results by slug."""
    reply = await staff.post(FOLDER, json={"templates": templates} | options)
    assert reply.status_code == 200, reply.text
    return {result["slug"]: result for result in reply.json()["results"]}


async def test_a_push_publishes_what_differs_and_is_read_back(staff: httpx2.AsyncClient) -> None:
    """Templates and layouts are written with audit records; the reply of a read has the same texts."""
    templates = {"greeting": build_template(html=BODY), "farewell": build_template(subject="Bye {{ name }}")}
    planned = await push(staff, templates, layouts={"plain.html": LAYOUT}, dry_run=True)
    assert {slug: result["change"] for slug, result in planned.items()} == {
        "_layouts/plain.html": "created",
        "greeting": "created",
        "farewell": "created",
    }
    assert (await staff.get(FOLDER, params={"slug": ["greeting", "farewell"]})).json()["templates"] == []
    assert await push(staff, templates, layouts={"plain.html": LAYOUT}, note="The first") == planned
    changed = templates | {"farewell": build_template(subject="Goodbye {{ name }}")}
    again = await push(staff, changed, layouts={"plain.html": LAYOUT})
    assert {slug: (result["change"], result["number"]) for slug, result in again.items()} == {
        "greeting": ("unchanged", 1),
        "farewell": ("published", 2),
    }
    assert again["farewell"]["differs"] == ["subject.txt: +1 -1"]
    query: dict[str, Any] = {"slug": ["greeting", "farewell", "unknown"], "history": True}
    farewell, greeting = (await staff.get(FOLDER, params=query)).json()["templates"]
    assert (greeting["version"]["files"], greeting["version"]["sample"]) == (
        templates["greeting"]["files"] | {"_layouts/plain.html": LAYOUT},
        SAMPLE,
    )
    assert (greeting["note"], greeting["draft"], len(farewell["earlier"])) == ("The first", None, 2)
    texts = (await staff.get(FOLDER, params={"slug": "farewell", "texts": False})).json()["templates"]
    assert (texts[0]["version"], texts[0]["number"], texts[0]["earlier"]) == (None, 2, [])
    actions = [entry["action"] for entry in (await staff.get("/v1/audit")).json()["entries"]]
    assert sorted(actions) == ["layout.saved", "template.published", "template.published", "template.published"]


async def test_one_bad_template_keeps_all_from_being_published(staff: httpx2.AsyncClient) -> None:
    """Each fault has the pointer of its template and the place in its file."""
    bad = build_template(html="<p>\n{{ nmae }}</p>")
    reply = await staff.post(FOLDER, json={"templates": {"greeting": build_template(), "bad": bad, "worse": bad}})
    assert outcome(reply) == (422, "template_failed")
    assert [fault["pointer"] for fault in reply.json()["errors"]] == [
        "/templates/bad/files/body.html",
        "/templates/worse/files/body.html",
    ]
    assert reply.json()["errors"][0]["detail"].startswith("body.html, line 2, column 4: there is no variable “nmae”")
    assert (await staff.get(FOLDER, params={"slug": "greeting"})).json()["templates"] == []


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
async def test_newer_edits_are_not_replaced(installation: Installation, parts: wiring.ProcessParts) -> None:
    """The refusal names the version of somebody else, and the draft; what the files came from is replaced."""
    async with (
        installation.open_client(parts, await template_editor.create_admin_key(parts)) as editor,
        installation.open_client(parts, await template_editor.create_admin_key(parts)) as pipeline,
    ):
        published = await template_editor.publish_draft(editor)
        template = build_template(subject="From the pipeline")
        refused = await pipeline.post(FOLDER, json={"templates": {"greeting": template, "other": template}})
        assert (refused.status_code, refused.json()["code"]) == (409, "newer_edits")
        (result,) = [result for result in refused.json()["results"] if result["change"] == "refused"]
        assert (result["slug"], result["differs"]) == ("greeting", ["subject.txt: +1 -1"])
        assert result["why"].startswith("it is at version 1, published by key:")
        assert (await pipeline.get(FOLDER, params={"slug": "other"})).json()["templates"] == []
        origin = {"number": 1, "hash": published["content_hash"], "files": ""}
        base = {"templates": {"greeting": origin}, "layouts": {}}
        assert (await push(pipeline, {"greeting": template}, base=base))["greeting"]["number"] == 2
        await template_editor.save_draft(editor, "2.0", files={"subject.txt": "A draft for {{ name }}"})
        refused = await pipeline.post(FOLDER, json={"templates": {"greeting": build_template()}})
        assert "a draft that key:" in refused.json()["results"][0]["why"]
        kept = await push(pipeline, {"greeting": build_template()}, only_new=True)
        assert kept["greeting"]["change"] == "kept"
        replaced = await push(pipeline, {"greeting": build_template()}, overwrite=True)
        assert (replaced["greeting"]["change"], replaced["greeting"]["number"]) == ("published", 3)


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
async def test_a_push_that_would_break_callers_is_refused(
    installation: Installation, parts: wiring.ProcessParts
) -> None:
    """The publish gate tries each changed template; a reason overrides it, for an admin key."""
    publisher = await template_editor.create_admin_key(parts, KeyScope.TEMPLATES_PUBLISH)
    async with (
        installation.open_client(parts, await template_editor.create_admin_key(parts)) as staff,
        installation.open_client(parts, publisher) as pipeline,
        installation.open_client(parts) as shop,
    ):
        await push(staff, {"greeting": build_template()})
        mail = {"to": "ada@example.com", "template": "greeting", "variables": SAMPLE}
        assert (await shop.post("/v1/notifications", json=mail)).status_code == 202
        breaking = build_template(html="<p>{{ reason }}</p>") | {"sample": SAMPLE | {"reason": "x"}}
        refused = await staff.post(FOLDER, json={"templates": {"greeting": breaking}})
        assert (refused.status_code, refused.json()["code"]) == (409, "gate_closed")
        assert refused.json()["detail"].startswith("template greeting: callers would break: shop: 1 would be refused")
        assert refused.json()["report"]["blocks"] is True
        body = {"templates": {"greeting": breaking}, "force_reason": "they know", "overwrite": True}
        assert outcome(await pipeline.post(FOLDER, json=body)) == (403, "insufficient_scope")
        forced = await staff.post(FOLDER, json=body)
        assert forced.status_code == 200, forced.text
        assert (await staff.get(PATH)).json()["number"] == 2


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
async def test_images_travel_with_their_templates(staff: httpx2.AsyncClient) -> None:
    """An image is converted once, shown by the version, and read back as it was uploaded."""
    data = sample_images.encode_image(sample_images.draw_red_bar())
    template = build_template(
        html='<html><body>{{ image("logo", alt="Shop") }} {{ name }} {{ order.id }}</body></html>'
    )
    images = {"logo": {"content": base64.b64encode(data).decode(), "width": 60}}
    assert (await push(staff, {"greeting": template}, images=images))["greeting"]["change"] == "created"
    assert (await push(staff, {"greeting": template}, images=images))["greeting"]["change"] == "unchanged"
    original = await staff.get("/v1/assets/logo/original")
    assert (original.status_code, original.content) == (200, data)
    logo = (await staff.get("/v1/assets/logo")).json()
    assert (logo["status"], logo["width"], logo["revision"]) == ("ready", 60, 1)
    assert outcome(await staff.get("/v1/assets/nothing/original")) == (404, "not_found")
    broken = {"logo": {"content": base64.b64encode(sample_images.HTML).decode()}}
    refused = await staff.post(FOLDER, json={"templates": {"other": template}, "images": broken})
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/images/logo/content"]


def _many(number: int) -> dict[str, Any]:
    return {f"t{count}": build_template() for count in range(number)}


HOSTILE: list[tuple[dict[str, Any], str, str]] = [
    ({"templates": {"../x": build_template()}}, "/templates/..~1x", "invalid_slug"),
    ({"templates": {"/etc": build_template()}}, "/templates/~1etc", "invalid_slug"),
    (
        {"templates": {"greeting": build_template() | {"files": FILES | {"../../x": "x"}}}},
        "/templates/greeting/files/..~1..~1x",
        "unknown_file",
    ),
    (
        {"templates": {"greeting": build_template() | {"files": FILES | {"_layouts/base.html": "x"}}}},
        "/templates/greeting/files/_layouts~1base.html",
        "unknown_file",
    ),
    (
        {
            "templates": {
                "greeting": build_template() | {"files": {f"locales/aa-{n}/body.html": "" for n in range(10_000)}}
            }
        },
        "/templates/greeting/files",
        "too_many",
    ),
    ({"templates": _many(201)}, "/templates", "too_many"),
    ({"templates": {}, "layouts": {"../base.html": "x"}}, "/layouts/..~1base.html", "invalid_slug"),
    ({"templates": {}, "images": {"../logo": {"content": "aGk="}}}, "/images/..~1logo/name", "asset_rejected"),
    ({"templates": {}, "images": {"logo": {"content": "???"}}}, "/images/logo/content", "asset_rejected"),
    ({"templates": {}, "overwrite": True, "only_new": True}, "/only_new", "not_both"),
]


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
async def test_hostile_names_and_numbers_are_refused(staff: httpx2.AsyncClient) -> None:
    """No name leads out of its place, and each number has a maximum; nothing is written."""
    for body, pointer, code in HOSTILE:
        reply = await staff.post(FOLDER, json=body)
        assert reply.status_code == 422, (pointer, reply.text)
        assert (pointer, code) in [(fault["pointer"], fault["code"]) for fault in reply.json()["errors"]]
    nul = {"templates": {"greeting": build_template(subject="a\0b")}}
    assert outcome(await staff.post(FOLDER, json=nul)) == (400, "malformed_json")
    assert outcome(await staff.get(FOLDER, params={"slug": ["a"] * 51})) == (422, "invalid_parameter")
    assert (await staff.get(FOLDER, params={"slug": "greeting"})).json()["templates"] == []


@pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
async def test_a_read_has_pages(staff: httpx2.AsyncClient) -> None:
    """Each page names the next one, newest first."""
    await push(staff, _many(3))
    first = await staff.get(FOLDER, params={"limit": 2, "texts": False})
    assert [template["slug"] for template in first.json()["templates"]] == ["t2", "t1"]
    second = await staff.get(FOLDER, params={"limit": 50, "texts": False, "before": first.json()["next"]})
    assert second.json()["templates"][0]["slug"] == "t0"
    assert second.json()["next"] is None
