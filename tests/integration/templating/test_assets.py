"""An image from upload to mail: converted by a job, pinned by a version, shown by mails."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from typing import Any
from uuid import UUID

import httpx2
import pytest
from msgspec.structs import replace
from sqlalchemy import func, select
from support import api_caller, marketing_template, published_template, sample_images
from support.scripted_relay import ScriptedRelay
from support.seeded_installation import Installation

from notifier.db.engine import Database
from notifier.db.tables import INSTANCE, Asset, AuditEntry, OutboxEntry, get_columns
from notifier.ids import generate_id
from notifier.jobs import job_handler, job_store
from notifier.jobs.job_action import JobRunView, StepContext
from notifier.jobs.job_handler import JobHandler
from notifier.jobs.job_store import JobFilter
from notifier.outbox.entry_handler import ClaimedEntry, LostClaim
from notifier.runtime import wiring
from notifier.runtime.job_actions import build_job_actions
from notifier.states import JobKind, JobState, Priority
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating import draft_store
from notifier.templating.assets import conversion_process as image_process
from notifier.templating.assets.image_action import ImageAction
from notifier.templating.assets.image_conversion import MAX_UPLOAD_BYTES, ImageOptions, RejectedImage

_asset, _audit = get_columns(Asset), get_columns(AuditEntry)
PUBLIC = "https://mail.shop.example"
SOURCE = TemplateSource(
    files={"subject.txt": "Hello", "body.html": '<html><body>{{ image("logo", alt="Shop") }}</body></html>'},
    sample={},
    settings=TemplateSettings(name="Hello"),
)


@pytest.fixture
def installation(installation: Installation) -> Installation:
    """An installation whose public URL is `PUBLIC`."""
    return installation.with_settings(public_url=PUBLIC + "/")


@dataclass
class Staff:
    """An editor with all rights, and the running parts."""

    parts: wiring.ProcessParts
    client: httpx2.AsyncClient
    relay: ScriptedRelay

    async def upload(self, data: bytes, name: str = "logo", **fields: Any) -> dict[str, Any]:
        """Upload an image, and wait until its job is done."""
        reply = await sample_images.upload_image(self.client, name, data, **fields)
        assert reply.status_code == 202, reply.text
        assert reply.headers["location"] == f"/v1/assets/{name}"
        await api_caller.wait_until_drained(self.parts.database)
        return await self.found(name)

    async def found(self, name: str = "logo") -> dict[str, Any]:
        """Get the image as it is stored now."""
        asset: dict[str, Any] = (await self.client.get(f"/v1/assets/{name}")).json()
        return asset

    async def publish(self, source: TemplateSource = SOURCE) -> TemplateSource:
        """Publish the draft with the current images."""
        async with self.parts.database.write() as connection:
            whole = await draft_store.assemble_source(connection, source)
            await published_template.publish_template(connection, "hello", whole)
        return whole

    async def mail(self) -> tuple[Message, str]:
        """Send a mail; return it as the relay got it, and the path of its notification."""
        fields: dict[str, Any] = {"template": "hello", "variables": {}, "template_version": 1}
        path = await api_caller.submit_mail(self.client, **fields)
        await api_caller.wait_for_status(self.client, path, "sent")
        return self.relay.received[-1].message, path


@pytest.fixture
async def staff(installation: Installation, parts: wiring.ProcessParts, relay: ScriptedRelay) -> AsyncIterator[Staff]:
    async with installation.open_client(parts, await marketing_template.create_marketing_key(parts, "shop")) as client:
        yield Staff(parts, client, relay)


def _images(message: Message) -> dict[str, bytes]:
    return {
        str(part["content-id"]): part.get_payload(decode=True)  # type: ignore[misc]
        for part in message.walk()
        if part["content-id"]
    }


async def test_an_image_comes_with_the_mail_and_stays_what_it_was(staff: Staff) -> None:
    """The image is inline and without metadata; a later upload or deletion changes no published version."""
    async with wiring.run_sender(staff.parts):
        made = await staff.upload(sample_images.encode_camera_jpeg(sample_images.draw_photograph()), width=300)
        assert (made["status"], made["progress"], list(made["files"])) == ("ready", 100, ["1x", "2x"])
        whole = await staff.publish()
        assert whole.assets["logo"].sha256 == made["files"]["2x"]["sha256"]
        first, path = await staff.mail()
        (name, octets), *others = _images(first).items()
        assert (name, others) == (f"<logo.{made['files']['2x']['sha256'][:8]}@assets>", [])
        assert octets == (await staff.client.get("/v1/assets/logo/file")).content
        assert not sample_images.decode_image(octets).getexif()
        html = next(part for part in first.walk() if part.get_content_type() == "text/html")
        assert f'src="cid:{name[1:-1]}" width="300"'.encode() in html.get_payload(decode=True)
        content = (await staff.client.get(f"{path}/content")).json()
        assert content["identical"] is True
        assert (
            await sample_images.upload_image(
                staff.client, "logo", sample_images.encode_image(sample_images.draw_red_bar())
            )
        ).status_code == 409
        other = await staff.upload(sample_images.encode_image(sample_images.draw_red_bar()), revision=1)
        assert (other["revision"], other["files"]["1x"]["content_type"]) == (2, "image/png")
        assert _images((await staff.mail())[0]) == {name: octets}
        assert (await staff.client.delete("/v1/assets/logo")).status_code == 204
    async with wiring.run_sender(staff.parts):  # which has not seen the image before
        assert _images((await staff.mail())[0]) == {name: octets}
    assert (await staff.publish()).assets == {}


async def test_what_mails_link_to_is_open_and_nothing_else(staff: Staff, installation: Installation) -> None:
    """A linked image is served by hash without a key; uploads and embedded images are not."""
    data = sample_images.encode_image(sample_images.draw_red_bar())
    async with wiring.run_sender(staff.parts):
        made = await staff.upload(data, width=150)
        body = '<html><body>{{ image("logo", alt="Shop", linked=true) }}</body></html>'
        await staff.publish(replace(SOURCE, files=SOURCE.files | {"body.html": body}))
        message, _ = await staff.mail()
    digest = made["files"]["2x"]["sha256"]
    assert _images(message) == {}
    assert f"{PUBLIC}/assets/{digest}.png".encode() in message.get_payload()[1].get_payload(decode=True)  # type: ignore[index, union-attr]
    async with staff.parts.database.read() as connection:
        original = (await connection.execute(select(_asset.original))).scalar_one().hex()
    async with installation.open_client(staff.parts, key="none") as world:
        seen = await world.get(f"/assets/{digest}.png")
        assert sample_images.decode_image(seen.content).size == (300, 100)
        assert (seen.headers["content-type"], "immutable" in seen.headers["cache-control"]) == ("image/png", True)
        for name in (f"{digest}.jpg", f"{original}.png", f"{'0' * 64}.png", digest):
            assert (await world.get(f"/assets/{name}")).status_code == 404


async def test_what_cannot_be_shown_fails_with_a_reason(staff: Staff) -> None:
    """A failed image has a reason, is not pinned and has no file; the next one is still converted."""
    async with wiring.run_sender(staff.parts):
        bad = await staff.upload(sample_images.HTML)
        good = await staff.upload(sample_images.encode_image(sample_images.draw_red_bar()), "other")
    assert (bad["status"], bad["files"]) == ("failed", {})
    assert "neither PNG" in bad["detail"]
    assert good["status"] == "ready"
    assert (await staff.client.get("/v1/assets/logo/file")).json()["code"] == "asset_not_ready"
    assert (await staff.publish()).assets == {}
    listed = (await staff.client.get("/v1/assets")).json()["assets"]
    assert [asset["name"] for asset in listed] == ["logo", "other"]
    async with staff.parts.database.read() as connection:
        done = await connection.execute(select(_audit.action).where(_audit.object_kind == "asset"))
        assert [row.action for row in done] == ["asset.uploaded"] * 2


async def test_what_is_no_upload_is_refused_at_once(staff: Staff) -> None:
    """All faults of an upload are reported together, and nothing is written."""
    body = {"name": "No", "content": "?", "mode": "crop", "width": 10}
    reply = await staff.client.post("/v1/assets", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "asset_rejected")
    assert [fault["pointer"] for fault in reply.json()["errors"]] == ["/content", "/name", "/mode"]
    async with staff.parts.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(OutboxEntry))).scalar_one() == 0


async def test_operations_are_done_in_their_order(staff: Staff) -> None:
    """An upload with operations is converted by them; wrong ones are faults with pointers, and nothing is written."""
    data = sample_images.encode_image(sample_images.draw_red_bar())
    steps = [{"do": "fit", "width": 150}, {"do": "crop", "width": 50, "height": 50}, {"do": "grey"}]
    for wrong, pointers in (
        ({"operations": [*steps, {"do": "blur", "radius": 60}]}, ["/operations/3/radius"]),
        ({"operations": [{"do": "crop", "width": 3}, {"do": "emboss"}]}, ["/operations/1/do"]),
        (
            {"operations": [{"do": "crop", "width": 3}, {"do": "grey", "x": 1}]},
            [
                "/operations/0/height",
                "/operations/1/x",
            ],
        ),
        ({"operations": steps, "width": 10}, ["/operations"]),
        ({"operations": [{"do": "grey"}] * 6}, ["/operations"]),
    ):
        reply = await sample_images.upload_image(staff.client, "logo", data, **wrong)
        assert [fault["pointer"] for fault in reply.json()["errors"]] == pointers
    assert (await staff.client.get("/v1/assets")).json() == {"assets": []}
    async with wiring.run_sender(staff.parts):
        made = await staff.upload(data, operations=steps)
    assert [step["do"] for step in made["operations"]] == ["fit", "crop", "grey"]
    assert {name: (file["width"], file["height"]) for name, file in made["files"].items()} == {
        "1x": (50, 50), "2x": (100, 100),
    }  # fmt: skip
    image = sample_images.decode_image((await staff.client.get("/v1/assets/logo/file")).content)
    assert image.mode == "L"
    assert image.tobytes() == sample_images.draw_red_bar().crop((100, 0, 200, 100)).convert("L").tobytes()


async def test_what_kills_its_senders_has_failed(staff: Staff) -> None:
    """An image whose senders died too often fails with a reason; a replaced image is left alone."""
    database = staff.parts.database
    assert (await sample_images.upload_image(staff.client, "logo", sample_images.HTML)).status_code == 202
    (run,) = await _list_runs(database)
    handler = JobHandler(database, build_job_actions(staff.parts), staff.parts.clock)
    for _twice in range(2):
        async with database.write() as connection:
            await handler.recover_lost(connection, [LostClaim(entry=_lost(run.id), marked_at=None)])
        asset = await staff.found()
        assert (asset["status"], asset["detail"][:15]) == ("failed", "the sender died")
    (run,) = await _list_runs(database)
    assert (run.state, run.error) == (JobState.FAILED, job_handler.LOST)


async def test_a_job_that_ends_late_changes_no_newer_upload(staff: Staff) -> None:
    """The result of the first upload is not stored for the second."""
    database = staff.parts.database
    for revision in range(2):
        await sample_images.upload_image(staff.client, "logo", sample_images.HTML, revision=revision)
    second, first = await _list_runs(database)
    assert (first.options["revision"], second.options["revision"]) == (1, 2)
    context = StepContext(now=datetime.now(UTC), report_progress=lambda _percent: None, is_stopping=lambda: False)
    async with database.write() as connection:
        rejected = RejectedImage(reason="not an image")
        result = await ImageAction(database).apply(connection, first, rejected, context)
    assert result.is_done
    asset = await staff.found()
    assert (asset["status"], asset["revision"], asset["detail"]) == ("pending", 2, "")


async def _list_runs(database: Database) -> list[JobRunView]:
    async with database.read() as connection:
        return await job_store.list_runs(connection, JobFilter(kind=JobKind.IMAGE), before=None, limit=10)


def _lost(subject_id: UUID) -> ClaimedEntry:
    """Build an entry of the image that was lost too often."""
    return ClaimedEntry(
        id=generate_id(),
        lease_no=7,
        subject_id=subject_id,
        service_id=INSTANCE,
        priority=Priority.NORMAL,
        due_at=datetime(2026, 1, 1, tzinfo=UTC),
        attempts=0,
        lost=4,
        faults=0,
        fault=None,
    )


async def test_a_child_that_is_killed_is_a_reason() -> None:
    """A killed conversion fails with a reason; a conversion that is no longer needed is stopped."""
    data = sample_images.encode_image(sample_images.draw_photograph())

    def kill(_percent: int) -> None:
        for child in multiprocessing.active_children():
            if child.name == "notifier-image":
                child.kill()

    assert (
        await asyncio.to_thread(image_process.convert_in_child, data, ImageOptions(), progress=kill)
        == image_process.CRASHED
    )
    assert (
        await asyncio.to_thread(image_process.convert_in_child, data, ImageOptions(), is_wanted=lambda: False) is None
    )
    too_long = bytes(MAX_UPLOAD_BYTES + 1)
    assert isinstance(image_process.convert_in_child(too_long, ImageOptions()), RejectedImage)
