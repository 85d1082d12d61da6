"""Published versions on both databases are numbered, immutable and pinned."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from support import published_template

from notifier.db.tables import Template, TemplateVersion
from notifier.ids import generate_id
from notifier.runtime import wiring
from notifier.states import Category, Priority, WhenUncertain
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating import version_store
from notifier.templating.version_store import PublishedVersion

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
SETTINGS = TemplateSettings(name="A", priority="high", expires_after="1h", optional=("order.note",))


def source(subject: str = "Hi", **changes: Any) -> TemplateSource:
    """Build a source with this subject."""
    files = {"subject.txt": subject, "body.html": "<p>é</p>", "_layouts/base.html": "b"}
    sample = {"order": {"id": "1", "note": "n"}}
    return TemplateSource(**{"files": files, "sample": sample, "settings": SETTINGS, **changes})


async def publish(parts: wiring.ProcessParts, source: TemplateSource, slug: str = "hi") -> PublishedVersion:
    """Publish in a transaction of its own."""
    async with parts.database.write() as connection:
        paths = [["order", "id"]]
        return await published_template.publish_template(connection, slug, source, paths, now=NOW)


async def test_a_first_version_is_number_one(parts: wiring.ProcessParts) -> None:
    """The first published version is the current one, with all that submit needs."""
    made = await publish(parts, source())
    async with parts.database.read() as connection:
        version = await version_store.get_current_version(connection, "hi")
    assert version == made
    assert made == PublishedVersion(
        id=made.id,
        template_id=made.template_id,
        slug="hi",
        number=1,
        content_hash=source().content_hash(),
        variables_schema={
            "type": "object",
            "properties": {
                "order": {
                    "type": "object",
                    "properties": {"id": {"type": "string"}, "note": {"type": "string"}},
                    "required": ["id"],
                    "additionalProperties": False,
                }
            },
            "required": ["order"],
            "additionalProperties": False,
        },
        subject_variables=[["order", "id"]],
        category=Category.TRANSACTIONAL,
        priority=Priority.HIGH,
        expires_after=3600,
        when_uncertain=WhenUncertain.RESEND,
        keep_content_days=None,
        sender=None,
        reply_to=None,
        published_at=NOW,
    )


async def test_editors_who_publish_a_new_slug_at_once_get_a_version_each(parts: wiring.ProcessParts) -> None:
    """Only one of them creates the template; the others wait for it and get the next numbers."""
    versions = await asyncio.gather(*(publish(parts, source(str(number)), "new") for number in range(5)))
    assert sorted(version.number for version in versions) == [1, 2, 3, 4, 5]
    assert len({version.template_id for version in versions}) == 1


async def test_versions_are_numbered_and_stay(parts: wiring.ProcessParts) -> None:
    """Each publish makes the next number current; older versions are unchanged."""
    first, second = await publish(parts, source("one")), await publish(parts, source("two"))
    async with parts.database.read() as connection:
        assert await version_store.get_current_version(connection, "hi") == second
        assert await version_store.get_numbered_version(connection, "hi", 1) == first
        assert await version_store.get_numbered_version(connection, "hi", 2) == second
        assert await version_store.get_numbered_version(connection, "hi", 3) is None
        assert await version_store.get_numbered_version(connection, "gone", 1) is None
        assert await version_store.get_current_version(connection, "gone") is None
    assert (first.number, second.number) == (1, 2)


async def test_the_number_after_going_back_is_new(parts: wiring.ProcessParts) -> None:
    """A number is never used twice, even when an older version was made current again."""
    for text in ("one", "two"):
        await publish(parts, source(text))
    table = Template.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    async with parts.database.write() as connection:
        await connection.execute(table.update().where(table.c.slug == "hi").values(current_number=1))
    assert (await publish(parts, source("three"))).number == 3


async def test_the_source_is_pinned_with_its_version(parts: wiring.ProcessParts) -> None:
    """Each version returns exactly the source it was published with, layouts and sample included."""
    source_one, source_two = source("one"), source("two", settings=TemplateSettings(name="B"))
    first, second = await publish(parts, source_one), await publish(parts, source_two)
    async with parts.database.read() as connection:
        sources = await version_store.get_sources(connection, [first.id, second.id, generate_id()])
    assert sources == {first.id: source_one, second.id: source_two}
    assert sources[first.id].content_hash() == first.content_hash


async def test_a_number_cannot_be_taken_twice(parts: wiring.ProcessParts) -> None:
    """The database itself refuses a second version of the same number."""
    first = await publish(parts, source())
    table = TemplateVersion.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
    async with parts.database.read() as connection:
        row = (await connection.execute(select(table).where(table.c.id == first.id))).mappings().one()
    with pytest.raises(IntegrityError):
        async with parts.database.write() as connection:
            await connection.execute(table.insert().values({**row, "id": generate_id()}))


async def test_all_current_versions_by_slug(parts: wiring.ProcessParts) -> None:
    """Each template is listed once, with its current version, in alphabetical order."""
    await publish(parts, source("one"))
    await publish(parts, source("two"))
    await publish(parts, source(), slug="aa")
    async with parts.database.read() as connection:
        versions = [(version.slug, version.number) for version in await version_store.list_current_versions(connection)]
    assert versions == [
        ("aa", 1), ("daily_report", 1), ("hi", 2), ("newsletter", 1), ("order_shipped", 1), ("password_reset", 1),
        ("welcome", 1),
    ]  # fmt: skip


async def test_a_publish_that_is_rolled_back_leaves_nothing(parts: wiring.ProcessParts) -> None:
    """Without the caller's commit there is no version."""

    async def fail() -> None:
        async with parts.database.write() as connection:
            await published_template.publish_template(connection, "hi", source(), now=NOW)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    async with parts.database.read() as connection:
        assert await version_store.get_current_version(connection, "hi") is None
        assert await version_store.get_numbered_version(connection, "hi", 1) is None
