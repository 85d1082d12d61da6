"""A push never replaces a newer edit that its author has not seen."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update
from support.closed_gate import ClosedGate
from support.folder_and_database import NOW, TwoSides

from notifier import audit
from notifier.audit import Actor
from notifier.db.tables import Template, get_columns
from notifier.templating import layout_store, template_store
from notifier.templating.publishing import GateClosedError
from notifier.templating.sync import sync_record, template_files
from notifier.templating.sync.push import Push
from notifier.templating.sync.sync_record import PushChange, SyncRefusedError

NEW = {
    "another/template.toml": 'name = "Another"\n',
    "another/sample.json": "{}",
    "another/subject.txt": "Another",
    "another/body.html": "<p>Another</p>",
}


async def refused(push: Push, root: Path, *slugs: str) -> list[str]:
    """Get the reason of the refusal for each name."""
    with pytest.raises(SyncRefusedError) as raised:
        await push.run(root, slugs or ["hello"])
    return [f"{result.slug}: {result.why}" for result in raised.value.refused]


async def test_a_version_of_somebody_else_is_not_replaced(side: TwoSides) -> None:
    """The refusal names author and time, and publishes nothing; a push can be forced."""
    await side.publish_edit("Hi {{ name }}")
    root = side.write({**NEW, "hello/body.txt": "Hello {{ name }}"})
    (why,) = await refused(side.push(), root, "another", "hello")
    version = "version 2, published by staff:bob on 2026-03-09 at 12:30 UTC, “Friendlier”"
    assert why == f"hello: it is at {version}; these files are not known to have come from it"
    assert ((await side.get_state("another")).number, (await side.get_state()).number) == (0, 2)
    await side.push(overwrite=True, note="Ours").run(root, ["another", "hello"])
    state = await side.get_state()
    assert (state.number, state.published_by, state.note) == (3, "operator:ada", "Ours")
    assert state.content_hash == template_files.read_template(root, "hello").content_hash()


async def test_a_dry_run_says_all_and_does_nothing(sqlite_side: TwoSides) -> None:
    """A dry run lists refusals and differences of files, settings and variables, and writes nothing."""
    await sqlite_side.publish_edit("Hi {{ name }}")
    changes = {"hello/template.toml": 'name = "Hello"\npriority = "high"\n', "hello/sample.json": '{"name": "Ada"}'}
    root = sqlite_side.write({**NEW, **changes, "_layouts/base.html": "{% block content %}{% endblock %}"})
    plan = await sqlite_side.push(dry_run=True).run(root, ["another", "hello"])
    assert [(result.slug, result.number, result.change) for result in plan] == [
        ("_layouts/base.html", 3, PushChange.PUBLISHED),
        ("another", 1, PushChange.CREATED),
        ("hello", 2, PushChange.REFUSED),
    ]
    assert plan[-1].differs == [
        "_layouts/base.html: +1 -1",
        "_layouts/parts.html: removed",
        "sample.json: +1 -2",
        "subject.txt: +1 -1",
        'priority: "normal" becomes "high"',
        'optional: ["note"] becomes []',
        "variable note is gone",
    ]
    assert ((await sqlite_side.get_state("another")).number, (await sqlite_side.get_state()).number) == (0, 2)


async def test_what_the_files_came_from_is_replaced(sqlite_side: TwoSides) -> None:
    """After a pull or push the record holds the version that the files are based on, so a push replaces it."""
    await sqlite_side.publish_edit("Hi {{ name }}")
    root = sqlite_side.write({})
    await sqlite_side.pull(root, ["hello"])
    assert (root / "hello/subject.txt").read_text() == "Hi {{ name }}"
    (root / "hello/subject.txt").write_text("Good day {{ name }}")
    await sqlite_side.push(by="operator:carol").run(root, ["hello"])
    origin = sync_record.read_base(root).templates["hello"]
    source = template_files.read_template(root, "hello")
    assert origin == sync_record.FileOrigin(
        number=3, hash=source.content_hash(), files=template_store.select_own_parts(source).content_hash()
    )
    await sqlite_side.publish_edit("Hi again")
    (root / "hello/subject.txt").write_text("Good evening {{ name }}")
    (why,) = await refused(sqlite_side.push(by="operator:carol"), root)
    assert why.endswith("these files came from version 3")


async def test_the_same_hands_may_go_on_without_a_record(sqlite_side: TwoSides) -> None:
    """A pipeline or an upgrade without a record may replace its own versions."""
    root = sqlite_side.write({"hello/subject.txt": "2"})
    assert [result.number for result in await sqlite_side.push().run(root, ["hello"])] == [2]
    assert not (root / sync_record.BASE_FILE).exists()
    assert await refused(sqlite_side.push(by="operator:carol"), sqlite_side.write({"hello/subject.txt": "3"}))
    await sqlite_side.publish_edit("shipped", by="demo")
    assert [result.number for result in await sqlite_side.push(by="operator:carol").run(root, ["hello"])] == [4]


async def test_a_draft_is_not_lost(side: TwoSides) -> None:
    """A refusal names the draft's editor; once the draft was pulled, a push publishes the result."""
    await side.save_draft("Dear {{ name }}")
    root = side.write({"hello/body.txt": "Hello {{ name }}"})
    (why,) = await refused(side.push(), root)
    assert why == "hello: there is a draft that staff:bob saved on 2026-03-09 at 12:30 UTC, which would be lost"
    assert (await side.get_state()).revision == 1
    await side.pull(root, ["hello"], draft=True, overwrite=True)
    (root / "hello/body.txt").write_text("Dear {{ name }},")
    await side.push().run(root, ["hello"])
    state = await side.get_state()
    assert (state.number, state.draft) == (2, None)
    assert state.source is not None
    assert state.source.files["subject.txt"] == "Dear {{ name }}"


async def test_what_was_deleted_stays_so(sqlite_side: TwoSides) -> None:
    """A push or a demo start does not restore a deleted template unless asked to."""
    async with sqlite_side.database.write() as connection:
        slug = get_columns(Template).slug
        await connection.execute(update(Template).where(slug == "hello").values(deleted_at=NOW))
    root = sqlite_side.write({})
    assert [result.change for result in await sqlite_side.push(only_new=True).run(root, ["hello"])] == [PushChange.KEPT]
    assert await refused(sqlite_side.push(), root) == ["hello: it was deleted on 2026-03-09 at 12:30 UTC"]
    await sqlite_side.push(overwrite=True).run(root, ["hello"])
    assert (await sqlite_side.get_state()).deleted_at is None


async def test_a_layout_is_not_lost_either(side: TwoSides) -> None:
    """A layout edited in the database is not overwritten by a push."""
    async with side.database.write() as connection:
        view = await layout_store.get_layout(connection, "_layouts/base.html")
        assert view is not None
        assert view.text == (side.write({}) / "_layouts/base.html").read_text()
        actor = Actor(name="staff:bob", at=NOW)
        await layout_store.save_layout(connection, view.name, "theirs", revision=view.revision, actor=actor)
    root = side.write({"_layouts/base.html": "ours{% block content %}{% endblock %}"})
    why = f"staff:bob changed it on 2026-03-09 at 12:30 UTC (revision {view.revision + 1})"
    assert await refused(side.push(), root) == [f"_layouts/base.html: {why}"]
    changes = [result.change for result in await side.push(only_new=True).run(root, ["hello"])]
    assert changes == [PushChange.KEPT, PushChange.KEPT]


async def test_the_gate_is_asked_about_what_replaces_a_version(sqlite_side: TwoSides) -> None:
    """The gate checks only replaced versions that differ; a reason overrides it."""
    guarded = sqlite_side.push(gate=ClosedGate())
    root = sqlite_side.write(NEW)
    assert [result.change for result in await guarded.run(root, ["another", "hello"])] == [
        PushChange.CREATED,
        PushChange.UNCHANGED,
    ]
    sqlite_side.write({"hello/subject.txt": "Changed"})
    with pytest.raises(GateClosedError, match="template hello: callers would break: shop: 3 of 200"):
        await guarded.run(root, ["hello"])
    assert (await sqlite_side.get_state()).number == 1
    await replace(guarded, force_reason="they know").run(root, ["hello"])
    assert (await sqlite_side.get_state()).number == 2
    async with sqlite_side.database.read() as connection:
        query = audit.AuditFilter(object_kind="template")
        last, first = await audit.list_audit_records(connection, None, query, before=None, limit=2)
    assert (last.actor, last.action) == ("operator:ada", "template.published")
    assert last.after == {"slug": "hello", "number": 2, "note": "", "forced": "they know", "breaks": []}
    assert first.after == {"slug": "another", "number": 1, "note": ""}
