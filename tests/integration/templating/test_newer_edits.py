"""A push against what others have done since: it never replaces a newer edit that nobody has looked at."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update
from support.closed_gate import ClosedGate
from support.folder_and_database import NOW, TwoSides

from notifier import audit
from notifier.audit import Actor
from notifier.db.tables import Template, get_columns
from notifier.errors import TemplateError
from notifier.templating import draft_store, layout_store
from notifier.templating.sync import base_record, template_files
from notifier.templating.sync.pull import Pull
from notifier.templating.sync.push import Push
from notifier.templating.sync.sync_result import PushChange, SyncRefusedError

NEW = {
    "another/template.toml": 'name = "Another"\n',
    "another/sample.json": "{}",
    "another/subject.txt": "Another",
    "another/body.html": "<p>Another</p>",
}


async def refused(push: Push, root: Path, *slugs: str) -> list[str]:
    """Why it was, name by name."""
    with pytest.raises(SyncRefusedError) as raised:
        await push.run(root, slugs or ["hello"])
    return [f"{one.slug}: {one.why}" for one in raised.value.refused]


async def test_a_version_of_somebody_else_is_not_replaced(side: TwoSides) -> None:
    """It says whose and when; nothing at all is published, and whoever wants to can."""
    await side.edited("Hi {{ name }}")
    root = side.write({**NEW, "hello/body.txt": "Hello {{ name }}"})
    (why,) = await refused(side.push(), root, "another", "hello")
    version = "version 2, published by staff:bob on 2026-03-09 at 12:30 UTC, “Friendlier”"
    assert why == f"hello: it is at {version}; these files are not known to have come from it"
    assert ((await side.stands("another")).number, (await side.stands()).number) == (0, 2)
    await side.push(overwrite=True, note="Ours").run(root, ["another", "hello"])
    there = await side.stands()
    assert (there.number, there.published_by, there.note) == (3, "operator:ada", "Ours")
    assert there.content_hash == template_files.read_template(root, "hello").content_hash()


async def test_a_dry_run_says_all_and_does_nothing(sqlite_side: TwoSides) -> None:
    """What would be refused, too; with what differs: files, settings and variables."""
    await sqlite_side.edited("Hi {{ name }}")
    changes = {"hello/template.toml": 'name = "Hello"\npriority = "high"\n', "hello/sample.json": '{"name": "Ada"}'}
    root = sqlite_side.write({**NEW, **changes, "_layouts/base.html": "{% block content %}{% endblock %}"})
    plan = await sqlite_side.push(dry_run=True).run(root, ["another", "hello"])
    assert [(one.slug, one.number, one.change) for one in plan] == [
        ("_layouts/base.html", 3, PushChange.PUBLISHED),
        ("another", 1, PushChange.CREATED),
        ("hello", 2, PushChange.REFUSED),
    ]
    assert plan[-1].difference is not None
    assert plan[-1].difference.lines == [
        "_layouts/base.html: +1 -1",
        "_layouts/parts.html: removed",
        "sample.json: +1 -2",
        "subject.txt: +1 -1",
        'priority: "normal" becomes "high"',
        'optional: ["note"] becomes []',
        "variable note is gone",
    ]
    assert ((await sqlite_side.stands("another")).number, (await sqlite_side.stands()).number) == (0, 2)


async def test_what_the_files_came_from_is_replaced(sqlite_side: TwoSides) -> None:
    """After a pull the files are newer, and after a push they are what stands there; the record says so."""
    await sqlite_side.edited("Hi {{ name }}")
    root = sqlite_side.write({})
    await Pull(database=sqlite_side.database).run(root, ["hello"])
    assert (root / "hello/subject.txt").read_text() == "Hi {{ name }}"
    (root / "hello/subject.txt").write_text("Good day {{ name }}")
    await sqlite_side.push(by="operator:carol").run(root, ["hello"])
    origin = base_record.read_base(root).templates["hello"]
    source = template_files.read_template(root, "hello")
    assert origin == base_record.FileOrigin(
        number=3, hash=source.content_hash(), files=draft_store.select_own_parts(source).content_hash()
    )
    await sqlite_side.edited("Hi again")
    (root / "hello/subject.txt").write_text("Good evening {{ name }}")
    (why,) = await refused(sqlite_side.push(by="operator:carol"), root)
    assert why.endswith("these files came from version 3")


async def test_the_same_hands_may_go_on_without_a_record(sqlite_side: TwoSides) -> None:
    """A pipeline that publishes from git keeps no record; neither it nor an upgrade of a release meets itself."""
    root = sqlite_side.write({"hello/subject.txt": "2"})
    assert [one.number for one in await sqlite_side.push().run(root, ["hello"])] == [2]
    assert not (root / base_record.BASE_FILE).exists()
    assert await refused(sqlite_side.push(by="operator:carol"), sqlite_side.write({"hello/subject.txt": "3"}))
    await sqlite_side.edited("shipped", by="demo")
    assert [one.number for one in await sqlite_side.push(by="operator:carol").run(root, ["hello"])] == [4]


async def test_a_draft_is_not_lost(side: TwoSides) -> None:
    """Its editor is named; once it was pulled, a push publishes what became of it."""
    await side.drafted("Dear {{ name }}")
    root = side.write({"hello/body.txt": "Hello {{ name }}"})
    (why,) = await refused(side.push(), root)
    assert why == "hello: there is a draft that staff:bob saved on 2026-03-09 at 12:30 UTC, which would be lost"
    assert (await side.stands()).revision == 1
    await Pull(database=side.database, draft=True, overwrite=True).run(root, ["hello"])
    (root / "hello/body.txt").write_text("Dear {{ name }},")
    await side.push().run(root, ["hello"])
    there = await side.stands()
    assert (there.number, there.draft) == (2, None)
    assert there.source is not None
    assert there.source.files["subject.txt"] == "Dear {{ name }}"


async def test_what_was_deleted_stays_so(sqlite_side: TwoSides) -> None:
    """Whoever starts the demo again, or pushes, does not bring it back; who says so does."""
    async with sqlite_side.database.write() as connection:
        slug = get_columns(Template).slug
        await connection.execute(update(Template).where(slug == "hello").values(deleted_at=NOW))
    root = sqlite_side.write({})
    assert [one.change for one in await sqlite_side.push(only_new=True).run(root, ["hello"])] == [PushChange.KEPT]
    assert await refused(sqlite_side.push(), root) == ["hello: it was deleted on 2026-03-09 at 12:30 UTC"]
    await sqlite_side.push(overwrite=True).run(root, ["hello"])
    assert (await sqlite_side.stands()).deleted_at is None


async def test_a_layout_is_not_lost_either(side: TwoSides) -> None:
    """It is in the table for those who edit there, and theirs is kept."""
    async with side.database.write() as connection:
        there = await layout_store.get_layout(connection, "_layouts/base.html")
        assert there is not None
        assert there.text == (side.write({}) / "_layouts/base.html").read_text()
        actor = Actor(name="staff:bob", at=NOW)
        await layout_store.save_layout(connection, there.name, "theirs", revision=there.revision, actor=actor)
    root = side.write({"_layouts/base.html": "ours{% block content %}{% endblock %}"})
    why = f"staff:bob changed it on 2026-03-09 at 12:30 UTC (revision {there.revision + 1})"
    assert await refused(side.push(), root) == [f"_layouts/base.html: {why}"]
    changes = [one.change for one in await side.push(only_new=True).run(root, ["hello"])]
    assert changes == [PushChange.KEPT, PushChange.KEPT]


async def test_the_gate_is_asked_about_what_replaces_a_version(sqlite_side: TwoSides) -> None:
    """Not about what is new, nor about what is equal; with a reason it is published all the same."""
    guarded = sqlite_side.push(gate=ClosedGate())
    root = sqlite_side.write(NEW)
    assert [one.change for one in await guarded.run(root, ["another", "hello"])] == [
        PushChange.CREATED,
        PushChange.UNCHANGED,
    ]
    sqlite_side.write({"hello/subject.txt": "Changed"})
    with pytest.raises(TemplateError, match="template hello: callers would break: shop: 3 of 200"):
        await guarded.run(root, ["hello"])
    assert (await sqlite_side.stands()).number == 1
    await replace(guarded, force_reason="they know").run(root, ["hello"])
    assert (await sqlite_side.stands()).number == 2
    async with sqlite_side.database.read() as connection:
        wanted = audit.AuditFilter(object_kind="template")
        last, first = await audit.list_audit_records(connection, None, wanted, before=None, limit=2)
    assert (last.actor, last.action) == ("operator:ada", "template.published")
    assert last.after == {"slug": "hello", "number": 2, "note": "", "forced": "they know"}
    assert first.after == {"slug": "another", "number": 1, "note": ""}
