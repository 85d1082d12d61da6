"""The maximum numbers of templates, layouts and images."""

import base64
from typing import Any

from integration.api.refusal import outcome
from sqlalchemy import func, insert, select
from support import sample_images, template_editor
from support.seeded_installation import Installation

from notifier.db.tables import Asset, Template, TemplateLayout
from notifier.ids import generate_id
from notifier.states import AssetMode, AssetStatus
from notifier.templating.edit_rules import MAX_ASSETS, MAX_LAYOUTS, MAX_TEMPLATES


async def test_there_is_an_end_of_what_editors_make(sqlite_installation: Installation) -> None:
    """Beyond the maximum a new name is 409; existing ones can still be changed."""
    image = base64.b64encode(sample_images.encode_image(sample_images.draw_red_bar())).decode()
    async with sqlite_installation.open_parts() as parts:
        written: dict[str, Any] = {"updated_by": "test", "updated_at": parts.clock.now(), "revision": 1}
        asset = {"status": AssetStatus.FAILED, "original": b"", "mode": AssetMode.FIT, "detail": "", "progress": 0}
        rows: dict[Any, tuple[int, Any]] = {
            Template: (
                MAX_TEMPLATES,
                lambda n: {"id": generate_id(), "slug": f"t{n}", "created_at": parts.clock.now()},
            ),
            TemplateLayout: (MAX_LAYOUTS, lambda n: {"name": f"_layouts/l{n}.html", "text": "x"} | written),
            Asset: (MAX_ASSETS, lambda n: {"id": generate_id(), "name": f"a{n}"} | asset | written),
        }
        async with parts.database.write() as connection:
            for table, (most, row) in rows.items():
                count = (await connection.execute(select(func.count()).select_from(table))).scalar_one()
                await connection.execute(insert(table), [row(number) for number in range(most - count - 1)])
        async with sqlite_installation.open_client(parts, await template_editor.create_admin_key(parts)) as client:
            for name, want in (("first", 200), ("second", 409), ("first", 200)):
                revision = (await client.get(f"/v1/templates/{name}/draft")).json().get("revision", "")
                put = await client.put(f"/v1/templates/{name}/draft", json=template_editor.build_draft(revision))
                assert outcome(put) == (want, "too_many_templates" if want == 409 else ""), name
            for name, revision, want in (("first", 0, 200), ("second", 0, 409), ("first", 1, 200)):
                body = {"text": "<p>x</p>", "revision": revision}
                put = await client.put(f"/v1/layouts/{name}.html", json=body)
                assert outcome(put) == (want, "too_many_templates" if want == 409 else ""), put.text
            for name, revision, want in (("first", 0, 202), ("second", 0, 409), ("first", 1, 202)):
                body = {"name": name, "content": image, "revision": revision}
                post = await client.post("/v1/assets", json=body)
                assert outcome(post) == (want, "too_many_templates" if want == 409 else ""), post.text
