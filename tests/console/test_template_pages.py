"""What the pages of templates answer: without a browser."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import pytest
from support.console_client import SAME_ORIGIN, open_console
from support.manual_clock import ManualClock
from support.seeded_installation import WELCOME, Installation
from support.staff_people import PASSWORD, StaffScene
from support.template_states import add_variable, read_shipped

from notifier import audit
from notifier.audit import Actor, AuditFilter
from notifier.auth.staff_roles import StaffRole
from notifier.console.session_gate import LOOPBACK_COOKIE
from notifier.runtime.wiring import ProcessParts
from notifier.templating import draft_store, template_store

TEMPLATES = "/console/templates"
SIX_MINUTES = 6 * 60
LAYOUT = (Path("templates") / "_layouts" / "base.html").read_text()


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """An admin's browser, before a draft that would break the shop."""

    client: httpx2.AsyncClient
    parts: ProcessParts
    clock: ManualClock

    async def load_page(self) -> tuple[str, dict[str, str]]:
        """Load the publish page; returns its HTML and the hidden fields of its form."""
        page = (await self.client.get(f"{TEMPLATES}/welcome/publish")).text
        hidden = re.findall(r'<input type="hidden" name="(revision|content_hash)" value="([^"]*)"', page)
        return page, dict(hidden)

    async def publish(self, **fields: str) -> httpx2.Response:
        """Send the form of the publish page."""
        return await self.client.post(f"{TEMPLATES}/welcome/publish", data=fields)

    async def get_number(self) -> int:
        """Get the number of the live version."""
        async with self.parts.database.read() as connection:
            return (await template_store.get_template(connection, "welcome")).number


@pytest.fixture
async def publishing(sqlite_installation: Installation) -> AsyncIterator[Publishing]:
    """A mail of the shop, and a draft that needs one more variable."""
    async with sqlite_installation.open_parts() as opened:
        clock = ManualClock(wall=opened.clock.now())
        parts = replace(opened, clock=clock)
        async with sqlite_installation.open_client(parts) as shop:
            assert (await shop.post("/v1/notifications", json=WELCOME)).status_code == 202
        actor = Actor(name="key:test", at=clock.now())
        async with parts.database.write() as connection:
            view = await draft_store.get_draft(connection, "welcome")
            draft = add_variable(read_shipped("welcome"), "ticket")
            await draft_store.save_draft(connection, "welcome", draft, revision=view.revision, actor=actor)
        _, signed_in = await StaffScene(parts.database, clock).create_signed_in("Ada", StaffRole.ADMIN)
        async with open_console(parts, signed_in.token) as client:
            client.headers.update(SAME_ORIGIN)
            yield Publishing(client=client, parts=parts, clock=clock)


async def test_publishing_in_spite_of_the_gate_asks_for_the_password(publishing: Publishing) -> None:
    """Five minutes after the last proof the password is asked; what was typed is kept; a new token replaces the old."""
    page, fields = await publishing.load_page()
    assert "Not yet: shop would break." in page
    assert "Your password, once more" not in page
    fields |= {"force_reason": "The shop <b>agreed</b>.", "note": "Tickets"}
    publishing.clock.advance(SIX_MINUTES)
    page, _ = await publishing.load_page()
    assert "Your password, once more" in page

    for password, said in (("", "Enter your password"), ("not the password", "This is not your password.")):
        refused = await publishing.publish(**fields, password=password)
        assert refused.status_code == 422
        assert said in refused.text
        assert 'value="The shop &lt;b&gt;agreed&lt;/b&gt;."' in refused.text
        assert password not in refused.text or not password
        publishing.clock.advance(30)  # a wait after a wrong password
    assert await publishing.get_number() == 1

    old = publishing.client.cookies[LOOPBACK_COOKIE]
    done = await publishing.publish(**fields, password=PASSWORD)
    assert (done.status_code, done.headers["location"]) == (303, f"{TEMPLATES}/welcome")
    assert await publishing.get_number() == 2
    for token, status in ((old, 303), (done.cookies[LOOPBACK_COOKIE], 200)):
        async with open_console(publishing.parts, token) as client:
            assert (await client.get("/console/me")).status_code == status
    async with publishing.parts.database.read() as connection:
        records = await audit.list_audit_records(connection, None, AuditFilter(), before=None, limit=9)
    (published,) = (record for record in records if record.action == "template.published")
    assert published.after is not None
    assert (published.after["forced"], published.after["breaks"]) == ("The shop <b>agreed</b>.", ["shop"])


async def test_a_reason_without_the_right_is_refused(publishing: Publishing) -> None:
    """A publisher who writes a reason into the form is told which role it needs."""
    _, fields = await publishing.load_page()
    scene = StaffScene(publishing.parts.database, publishing.clock)
    _, signed_in = await scene.create_signed_in("Pia", StaffRole.PUBLISHER)
    async with open_console(publishing.parts, signed_in.token) as client:
        form = fields | {"force_reason": "now", "password": PASSWORD}
        reply = await client.post(f"{TEMPLATES}/welcome/publish", data=form, headers=SAME_ORIGIN)
        assert (reply.status_code, "It needs the role admin." in reply.text) == (403, True)
        page = (await client.get(f"{TEMPLATES}/welcome/publish")).text
        assert "Publishing in spite of this is for admins." in page
    _, signed_in = await scene.create_signed_in("Ed", StaffRole.EDITOR)
    async with open_console(publishing.parts, signed_in.token) as client:
        for path in ("", "/edit"):
            assert "Publishing is for publishers: Pia." in (await client.get(f"{TEMPLATES}/welcome{path}")).text
    assert await publishing.get_number() == 1


async def test_pages_of_templates_leave_the_connections_of_the_api_alone(publishing: Publishing) -> None:
    """While every reading connection of the API is in use, templates are shown, previewed, tried and saved."""
    _, fields = await publishing.load_page()
    form = {"revision": fields["revision"], "name": "Welcome", "part": "subject.txt", "text": "Hello {{ name }}"}
    async with AsyncExitStack() as readers:
        for _ in range(4):
            await readers.enter_async_context(publishing.parts.database._reader.connect())
        for path in (
            "",
            "/welcome",
            "/welcome/edit",
            "/welcome/publish",
            "/welcome/versions/1",
            "/welcome/draft/preview",
        ):
            reply = await publishing.client.get(TEMPLATES + path)
            assert reply.status_code == 200, path
            assert "could not be tried" not in reply.text
        for path in ("/console/layouts", "/console/layouts/base.html", "/console/images"):
            assert (await publishing.client.get(path)).status_code == 200, path
        for path, expected in (("preview", 422), ("remarks", 200), ("", 303)):  # the form lacks the HTML
            reply = await publishing.client.post(f"{TEMPLATES}/welcome/edit/{path}".rstrip("/"), data=form)
            assert reply.status_code == expected, path
        layout = {"text": LAYOUT, "template": "order_shipped"}
        for path in ("preview", "remarks"):
            reply = await publishing.client.post(f"/console/layouts/base.html/{path}", data=layout)
            assert reply.status_code == 200, reply.text


async def test_an_empty_list_offers_the_templates_that_are_shipped(publishing: Publishing) -> None:
    """Without templates the list proposes what to begin with; those that were deleted can be found and restored."""
    actor = Actor(name="key:test", at=publishing.clock.now())
    async with publishing.parts.database.write() as connection:
        for view in await template_store.list_templates(connection, limit=9):
            await template_store.delete_template(connection, view.slug, actor=actor)
    page = (await publishing.client.get(TEMPLATES)).text
    assert "No template yet. Begin with one of these:" in page
    assert "5 deleted templates" in page
    assert f'href="{TEMPLATES}/welcome"' in page
    form = (await publishing.client.get("/console/new-template?start=order_shipped")).text
    assert 'name="slug" type="text" value="order_shipped"' in form
    assert '<option value="order_shipped" selected>' in form
    restored = await publishing.client.post(f"{TEMPLATES}/welcome/undelete")
    assert restored.status_code == 303
    assert "1 mail that we send" in (await publishing.client.get(TEMPLATES)).text


async def test_a_test_mail_of_the_live_version_goes_to_oneself(publishing: Publishing) -> None:
    """The page of a template sends what is live, not the draft; without a live version there is nothing to send."""
    sent = await publishing.client.post(f"{TEMPLATES}/welcome/test")
    assert sent.status_code == 303
    assert (
        "A test mail is on its way to ada@staff.example." in (await publishing.client.get(f"{TEMPLATES}/welcome")).text
    )
    async with publishing.parts.database.read() as connection:
        records = await audit.list_audit_records(connection, None, AuditFilter(), before=None, limit=9)
    (tested,) = (record for record in records if record.action == "template.tested")
    assert tested.after is not None
    assert tested.after["version"] == 1
    created = {"slug": "fresh", "name": "Fresh", "start": "empty"}
    assert (await publishing.client.post("/console/new-template", data=created)).status_code == 303
    assert (await publishing.client.post(f"{TEMPLATES}/fresh/test")).status_code == 404


async def test_a_mistake_in_a_layout_is_marked_in_the_layout(publishing: Publishing) -> None:
    """Its line is named while one writes, with the remarks of the layout, and the preview says the same in words."""
    lines = [*LAYOUT.split("\n"), "{{ locale|mony }}"]
    form = {"text": "\n".join(lines), "template": "order_shipped"}
    remarks = await publishing.client.post("/console/layouts/base.html/remarks", data=form)
    assert f'data-file="_layouts/base.html" data-line="{len(lines)}" data-severity="error"' in remarks.text
    preview = await publishing.client.post("/console/layouts/base.html/preview", data=form)
    assert preview.status_code == 422
    assert f"Layout base.html, line {len(lines)}: There is no filter" in preview.text
