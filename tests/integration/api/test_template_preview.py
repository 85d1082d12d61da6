"""Previews for editors: drafts, unsaved text, test mails, and hostile text."""

import asyncio
import re
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from typing import Any

import httpx2
import pytest
from integration.api.refusal import faults, outcome
from support import api_caller, sample_images, template_editor
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation
from support.template_editor import PATH

from notifier.auth import key_admin, service_admin
from notifier.auth.authenticated_key import SERVICE_SCOPES
from notifier.runtime import wiring
from notifier.template_language.template_source import FaultCode

HOSTILE = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "power": "{{ (10**(2*10**7)) % 7 }}",
    "class": "{{ ''.__class__.__mro__ }}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
}


@pytest.fixture
def installation(postgres_installation: Installation) -> Installation:
    """On PostgreSQL only, because rendering does not depend on the database."""
    return postgres_installation


@pytest.fixture
async def staff(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """An editor of the shop."""
    async with parts.database.write() as connection:
        shop = await service_admin.find_service(connection, "shop")
        key = await key_admin.create_live_key(connection, shop, scopes=SERVICE_SCOPES, now=parts.clock.now())
    async with installation.open_client(parts, key) as client:
        yield client


async def test_a_test_mail_says_what_the_preview_shows(
    staff: httpx2.AsyncClient, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """A test mail of a draft or version has the same parts as the preview with the same values."""
    now = await template_editor.publish_draft(staff)
    german = {"locales/de/subject.txt": "Hallo {{ name }}", "locales/de/body.html": "<p>Hallo {{ name }}</p>"}
    await template_editor.save_draft(staff, now["revision"], files=german)
    options: dict[str, Any] = {"variables": {"name": "Zoë", "order": {"id": 8}}, "locale": "de-AT"}
    for choice in (options, {"version": 1}):
        preview = (await staff.post(f"{PATH}/preview", json=choice)).json()
        source = message_from_bytes(preview["source"].encode(), policy=policy.default)
        assert (source["subject"], source["to"]) == (preview["subject"], "ada@example.com")
        sent = await staff.post(f"{PATH}/test-send", json=choice | {"to": "eve@example.com"})
        assert sent.status_code == 202, sent.text
        async with wiring.run_sender(parts):
            await api_caller.wait_for_status(staff, sent.headers["location"], "sent")
        mail = message_from_bytes(relay.received[-1].data, policy=policy.default)
        assert (mail["subject"], mail["to"]) == (preview["subject"], "eve@example.com")
        for kind in ("html", "plain"):
            real, seen = (message.get_body((kind,)) for message in (mail, source))
            assert real is not None
            assert seen is not None
            assert real.get_content() == seen.get_content()
    assert preview["subject"] == "Hello Ada"
    entry = (await staff.get("/v1/audit")).json()["entries"]
    assert entry == []  # templates are the instance's, and a service sees its own


async def test_a_preview_is_the_mail(
    staff: httpx2.AsyncClient, parts: wiring.ProcessParts, relay: ScriptedRelay
) -> None:
    """Except Date and Message-ID the preview equals the mail, for drafts and versions."""
    assert (
        await sample_images.upload_image(staff, "logo", sample_images.encode_image(sample_images.draw_red_bar()))
    ).status_code == 202
    sample = {"name": "Ada", "unsubscribe_url": "https://shop.example/stop"}
    page = '<p>{{ name }} {{ image("logo", "Logo") }} <a href="{{ unsubscribe_url }}">Stop</a></p>'
    files = {"subject.txt": "News", "body.html": page, "body.txt": "{{ name }}: {{ unsubscribe_url }}"}
    settings = {"name": "News", "category": "marketing", "priority": "bulk", "from": "Shop <news@shop.example>"}
    to = "eve@example.com"
    async with wiring.run_sender(parts) as running:
        await running.drain()
        saved = await template_editor.save_draft(staff, files=files, sample=sample, settings=settings)
        drafted = (await staff.post(f"{PATH}/preview", json={"to": to})).json()["source"]
        tested = await staff.post(f"{PATH}/test-send", json={"to": to})
        await api_caller.wait_for_status(staff, tested.headers["location"], "sent")
        published = await staff.post(f"{PATH}/publish", json={"revision": saved["revision"]})
        assert published.status_code == 201, published.text
        preview = (await staff.post(f"{PATH}/preview", json={"to": to, "version": 1})).json()["source"]
        path = await api_caller.submit_mail(staff, to, template="greeting", variables=sample)
        await api_caller.wait_for_status(staff, path, "sent")
    by_test, by_request = (_without_moment(mail.data.decode()) for mail in relay.received)
    assert "List-Unsubscribe: <https://shop.example/stop>" in by_request
    assert "Content-ID: <logo." in by_request
    assert (by_test, by_request) == (_without_moment(drafted), _without_moment(preview))


def _without_moment(source: str) -> str:
    """The mail without Date and Message-ID, and with a fixed boundary."""
    plain = re.sub(r"(?m)^(Date|Message-ID): .*\r\n", "", source)
    return re.sub(r"=_[0-9a-f]{32}", "=_", plain)


async def test_unsaved_text_is_rendered_or_refused_where_it_is_wrong(staff: httpx2.AsyncClient) -> None:
    """Unsaved parts or files are rendered; a fault has a pointer into the request."""
    parts = {"subject": "Hi {{ name }}", "html": "<p>{{ name }}</p>", "variables": {"name": "<Ada>"}}
    rendered = (await staff.post("/v1/render", json=parts)).json()
    assert (rendered["subject"], rendered["html"], rendered["text"].strip()) == (
        "Hi <Ada>",
        "<p>&lt;Ada&gt;</p>",
        "<Ada>",
    )
    files = template_editor.FILES | {
        "locales/fr/subject.txt": "Salut",
        "locales/fr/body.html": "<p>Salut {{ name }}</p>",
    }
    french = {"files": files, "variables": template_editor.SAMPLE, "locale": "fr-CA"}
    assert (await staff.post("/v1/render", json=french)).json()["subject"] == "Salut"
    wrong = await staff.post("/v1/render", json=parts | {"html": "<p>{{ name }</p>"})
    assert {pointer for pointer, _ in faults(wrong)} == {"/html"}
    for body, expected in (
        ({"subject": "x"}, {("/html", "missing_field")}),
        (parts | {"files": files}, {("/files", "files_or_parts")}),
        ({"files": {"../body.html": "x"}}, {("/files/..~1body.html", "unknown_file")}),
        (parts | {"variables": {"subject": "x"}}, {("/variables", "invalid_setting")}),
    ):
        assert faults(await staff.post("/v1/render", json=body)) == expected
    draft = template_editor.build_draft(settings={"name": "x", "category": "marketing", "from": "nobody"})
    assert faults(await staff.put(f"{PATH}/draft", json=draft)) == {
        ("/settings/priority", "invalid_setting"),
        ("/settings/from", "invalid_address"),
    }
    large = template_editor.build_draft(files={"body.html": "x" * 300_000, "body.txt": "x" * 300_000})
    assert faults(await staff.put(f"{PATH}/draft", json=large)) == {("/files", "too_large")}
    assert outcome(await staff.put("/v1/templates/Großes/draft", json=template_editor.build_draft())) == (
        422,
        "invalid_slug",
    )


async def test_hostile_text_is_refused_while_others_are_answered(staff: httpx2.AsyncClient) -> None:
    """B16, B17: hostile text is 422 when saved or rendered, and other requests are not delayed."""
    answered = 0

    async def others() -> None:
        nonlocal answered
        while True:
            assert (await staff.get("/v1/notifications", params={"limit": 1})).status_code == 200
            answered += 1

    asking = asyncio.create_task(others())
    for text in HOSTILE.values():
        reply = await staff.put(f"{PATH}/draft", json=template_editor.build_draft(files={"body.html": text}))
        assert reply.status_code == 422, reply.text
        assert answered > 0, "nobody else was answered meanwhile"
        answered = 0
        assert {error["code"] for error in reply.json()["errors"]} <= set(FaultCode)
    render = {"subject": "x", "html": HOSTILE["power"]}
    assert (await staff.post("/v1/render", json=render)).status_code == 422
    asking.cancel()
    assert outcome(await staff.get(PATH)) == (404, "not_found")
