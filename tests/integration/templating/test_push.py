"""Pushing template files into both databases."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from notifier.clock import SystemClock
from notifier.errors import InvalidRequestError, TemplateError
from notifier.rendering.pool import RenderingPool
from notifier.runtime import wiring
from notifier.templating import version_store
from notifier.templating.sync.push import Push
from notifier.templating.sync.sync_record import PushChange, SyncResult

Write = Callable[[Mapping[str, str | bytes | None]], Path]
OTHER = {
    "other/template.toml": 'name = "Other"\n',
    "other/sample.json": "{}",
    "other/subject.txt": "Other",
    "other/body.html": "<p>Other</p>",
}


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    async with RenderingPool() as started:
        yield started


@pytest.fixture
def push(parts: wiring.ProcessParts, pool: RenderingPool) -> Push:
    return Push(database=parts.database, pool=pool, clock=SystemClock(), by="test")


async def numbers(parts: wiring.ProcessParts) -> dict[str, int]:
    """The current version numbers of the pushed templates."""
    async with parts.database.read() as connection:
        return {
            p.slug: p.number
            for p in await version_store.list_current_versions(connection)
            if p.slug in ("hello", "other")
        }


async def test_a_push_creates_then_publishes_what_differs(push: Push, parts: wiring.ProcessParts, write: Write) -> None:
    """New templates are created, equal ones left alone, changed ones published under the next number."""
    root = write(OTHER)
    first = await push.run(root, ["hello", "other"])
    assert [result.slug for result in first if result.slug.startswith("_")] == [
        "_layouts/base.html",
        "_layouts/parts.html",
    ]
    assert first[2:] == [
        SyncResult(slug="hello", number=1, change=PushChange.CREATED),
        SyncResult(slug="other", number=1, change=PushChange.CREATED),
    ]
    write({**OTHER, "other/subject.txt": "Changed"})
    assert await push.run(root, ["hello", "other"]) == [
        SyncResult(slug="hello", number=1, change=PushChange.UNCHANGED),
        SyncResult(slug="other", number=2, change=PushChange.PUBLISHED),
    ]
    assert await numbers(parts) == {"hello": 1, "other": 2}


async def test_only_new_keeps_what_staff_edited(
    push: Push, parts: wiring.ProcessParts, pool: RenderingPool, write: Write
) -> None:
    """The start of the demo and of Compose overwrites no existing template."""
    root = write({})
    await push.run(root, ["hello"])
    careful = Push(database=parts.database, pool=pool, clock=SystemClock(), by="demo", only_new=True)
    assert await careful.run(root, ["hello"]) == [SyncResult(slug="hello", number=1, change=PushChange.UNCHANGED)]
    write({**OTHER, "hello/subject.txt": "Changed"})
    assert await careful.run(root, ["hello", "other"]) == [
        SyncResult(slug="hello", number=1, change=PushChange.KEPT),
        SyncResult(slug="other", number=1, change=PushChange.CREATED),
    ]
    assert await numbers(parts) == {"hello": 1, "other": 1}


async def test_a_layout_that_changed_publishes_what_uses_it(push: Push, write: Write) -> None:
    """A changed layout makes new versions of the templates that use it."""
    root = write(OTHER)
    await push.run(root, ["hello", "other"])
    write({**OTHER, "_layouts/base.html": "<html><body>{% block content %}{% endblock %}</body></html>"})
    assert [(p.slug, p.number, p.change) for p in await push.run(root, ["hello", "other"])] == [
        ("_layouts/base.html", 3, PushChange.PUBLISHED),
        ("hello", 2, PushChange.PUBLISHED),
        ("other", 1, PushChange.UNCHANGED),
    ]


async def test_one_bad_template_keeps_all_from_being_published(
    push: Push, parts: wiring.ProcessParts, write: Write
) -> None:
    """All templates are read and checked before the first is written."""
    root = write({**OTHER, "other/body.html": "{{ nothing }}"})
    with pytest.raises(
        InvalidRequestError,
        match=r"/templates/other/files/body\.html: .*line 1, column 4: there is no variable “nothing”",
    ):
        await push.run(root, ["hello", "other"])
    assert await numbers(parts) == {}


async def test_all_unreadable_templates_are_told_together(push: Push, parts: wiring.ProcessParts, write: Write) -> None:
    """The faults of several templates come in one error, each with its slug."""
    with pytest.raises(TemplateError) as raised:
        await push.run(write({"hello/sample.json": "[]"}), ["hello", "gone"])
    assert raised.value.slug == "hello, gone"
    assert raised.value.problems == (
        "hello: sample.json, line 1: must be an object: { … }",
        "gone: there is no gone/template.toml",
    )
    assert await numbers(parts) == {}


async def test_one_unreadable_template_is_told_as_it_is(push: Push, write: Write) -> None:
    """The error for a single template names its slug."""
    with pytest.raises(TemplateError) as raised:
        await push.run(write({"hello/sample.json": "[]"}), ["hello"])
    assert (raised.value.slug, raised.value.problems) == ("hello", ("sample.json, line 1: must be an object: { … }",))


async def test_a_layout_outside_is_a_fault_of_the_check(push: Push, write: Write) -> None:
    """A layout outside the directory is not read, so rendering does not find it."""
    root = write({"secret.txt": "secret", "hello/body.html": '{% include "_layouts/../secret.txt" %}'})
    with pytest.raises(InvalidRequestError, match=r"body\.html, line 1, .*no file “_layouts/\.\./secret\.txt”"):
        await push.run(root, ["hello"])


async def test_a_push_publishes_the_paths_of_the_subject(push: Push, parts: wiring.ProcessParts, write: Write) -> None:
    """Submit checks exactly the variables that the subject shows."""
    await push.run(write({}), ["hello"])
    async with parts.database.read() as connection:
        version = await version_store.get_current_version(connection, "hello")
    assert version is not None
    assert version.subject_variables == [["name"]]
    assert version.variables_schema["required"] == ["name"]
