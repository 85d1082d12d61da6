"""Pulling templates from the database into files, exactly and without overwriting local edits."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.templating.conftest import GOOD, Write
from sqlalchemy import update
from support.folder_and_database import NOW, TwoSides

from notifier.db.tables import Template, get_columns
from notifier.errors import NotFoundError
from notifier.rendering.source_check import check_source
from notifier.template_language.template_source import LANGUAGE_WORDS, RESERVED_NAMES, TemplateSettings, TemplateSource
from notifier.templating import version_store
from notifier.templating.sync import sync_record, template_files
from notifier.templating.sync import template_files as folder
from notifier.templating.sync.sync_record import PullChange, SyncRefusedError
from notifier.templating.sync.template_files import OutsideFolderError
from notifier.templating.version_store import Publication

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30).filter(
    lambda text: not text.startswith("\ufeff") and "_layouts" not in text
)
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["subject.txt", "body.html", "body.txt", "locales/pt-BR/body.html"]), TEXT),
    st.dictionaries(TEXT.filter(lambda name: name not in RESERVED_NAMES | LANGUAGE_WORDS), JSON, max_size=3),
    st.text(st.characters(categories=["L", "P"]), min_size=1, max_size=20),
)
@settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_has_the_same_hash(texts: dict[str, str], sample: dict[str, Any], name: str) -> None:
    """Any content keeps its hash: line ends, quotes, numbers, all Unicode characters."""
    source = TemplateSource(files=texts, sample=sample, settings=TemplateSettings(name=name))
    with tempfile.TemporaryDirectory() as root:
        folder.write_template(Path(root), "hello", source)
        assert template_files.read_template(Path(root), "hello") == source
        assert template_files.read_template(Path(root), "hello").content_hash() == source.content_hash()


def test_what_a_person_wrote_stays_as_it_says_the_same(write: Write) -> None:
    """Comments, key order and notes are kept if their values are unchanged; a removed part is deleted."""
    toml = '# Ours\nname = "Hello"\n\noptional = ["note"] # for now\n'
    root = write(
        {
            "hello/template.toml": toml,
            "hello/sample.json": '{"note": "x", "name": "Ada"}',
            "hello/notes.md": "Ask Bob",
            "hello/locales/fr/subject.txt": "Bonjour",
        }
    )
    source = template_files.read_template(root, "hello")
    parts = {name: text for name, text in source.files.items() if not name.startswith("locales/")}
    folder.write_template(root, "hello", TemplateSource(files=parts, sample=source.sample, settings=source.settings))
    assert (root / "hello/template.toml").read_text() == toml
    assert (root / "hello/sample.json").read_text() == '{"note": "x", "name": "Ada"}'
    assert (root / "hello/notes.md").is_file()
    assert not (root / "hello/locales/fr").exists()
    more = {"added": 1, "name": "Bob", "note": "y"}
    folder.write_template(root, "hello", TemplateSource(files=parts, sample=more, settings=source.settings))
    assert list(json.loads((root / "hello/sample.json").read_text())) == ["note", "name", "added"]


def test_nothing_is_written_outside(write: Write, tmp_path: Path) -> None:
    """A linked file is replaced, and a linked folder is not followed."""
    root = write({"hello/subject.txt": None})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/theirs.txt").write_text("theirs")
    (root / "hello/subject.txt").symlink_to(tmp_path / "outside/theirs.txt")
    folder.write_file(root, "hello/subject.txt", "ours")
    assert (root / "hello/subject.txt").read_text() == "ours"
    (root / "linked").symlink_to(tmp_path / "outside")
    with pytest.raises(OutsideFolderError):
        folder.write_file(root, "linked/subject.txt", "ours")
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["theirs.txt"]
    assert (tmp_path / "outside/theirs.txt").read_text() == "theirs"


async def pulled(side: TwoSides, root: Path, slug: str = "hello", **options: Any) -> list[tuple[str, str]]:
    """Pull, and list the results."""
    results = await side.pull(root, [slug], **options)
    return [(result.slug, result.change) for result in results]


async def test_a_new_folder_has_the_same_hashes(side: TwoSides, tmp_path: Path) -> None:
    """A pull into an empty folder gets all published templates; pushing it back changes nothing."""
    await side.publish_edit("Hi\r\n{{ name }} 😀")
    root = tmp_path / "fresh"
    results = await side.pull(root, None)
    assert {result.change for result in results} == {PullChange.CREATED}
    async with side.database.read() as connection:
        hashes = {
            version.slug: version.content_hash for version in await version_store.list_current_versions(connection)
        }
    hello = template_files.read_template(root, "hello")
    assert hello.content_hash() == hashes["hello"]
    assert set(template_files.list_slugs(root)) == set(hashes)
    assert sync_record.read_base(root).templates["hello"].number == 2
    assert await pulled(side, root) == [("hello", PullChange.UNCHANGED)]


async def test_what_was_edited_here_is_kept(sqlite_side: TwoSides) -> None:
    """A local edit is kept; edits on both sides are a conflict that writes nothing unless forced."""
    root = sqlite_side.write({})
    await pulled(sqlite_side, root)
    (root / "hello/body.txt").write_text("Ours {{ name }}")
    assert await pulled(sqlite_side, root) == [("hello", PullChange.AHEAD)]
    await sqlite_side.publish_edit("Theirs {{ name }}")
    with pytest.raises(SyncRefusedError) as raised:
        await pulled(sqlite_side, root)
    version = "version 2, published by staff:bob on 2026-03-09 at 12:30 UTC, “Friendlier”"
    assert [result.why for result in raised.value.refused] == [f"its files were edited, and the database has {version}"]
    assert (root / "hello/subject.txt").read_text() == GOOD["hello/subject.txt"]
    assert await pulled(sqlite_side, root, dry_run=True) == [("hello", PullChange.REFUSED)]
    assert await pulled(sqlite_side, root, overwrite=True) == [("hello", PullChange.UPDATED)]
    assert (root / "hello/subject.txt").read_text() == "Theirs {{ name }}"
    assert not (root / "hello/body.txt").exists()


async def test_a_folder_without_a_record_is_an_older_version_or_edited(sqlite_side: TwoSides) -> None:
    """Without a record, files are overwritten only if they equal a published version."""
    await sqlite_side.publish_edit("Theirs {{ name }}")
    root = sqlite_side.write({"hello/subject.txt": "Never published"})
    with pytest.raises(SyncRefusedError):
        await pulled(sqlite_side, root)
    assert await pulled(sqlite_side, sqlite_side.write({})) == [("hello", PullChange.UPDATED)]
    root = sqlite_side.write({"hello/template.toml": "name ="})
    with pytest.raises(SyncRefusedError, match=r"cannot be read, .* template\.toml, line 1"):
        await pulled(sqlite_side, root)


async def test_what_is_deleted_there_is_told(sqlite_side: TwoSides) -> None:
    """For a deleted template the files stay and the record is removed; an unknown name is an error."""
    root = sqlite_side.write({})
    await pulled(sqlite_side, root)
    async with sqlite_side.database.write() as connection:
        slug = get_columns(Template).slug
        await connection.execute(update(Template).where(slug == "hello").values(deleted_at=NOW))
    (result,) = await sqlite_side.pull(root, ["hello"])
    assert (result.change, result.why) == (
        PullChange.GONE,
        "it was deleted in the database on 2026-03-09 at 12:30 UTC; its files stay",
    )
    assert (root / "hello/subject.txt").is_file()
    assert "hello" not in sync_record.read_base(root).templates
    with pytest.raises(NotFoundError, match="there is no template nothing"):
        await pulled(sqlite_side, root, "nothing")


async def test_a_version_that_no_folder_can_have_is_refused(sqlite_side: TwoSides, tmp_path: Path) -> None:
    """File names of a version may not lead outside the folder."""
    odd = TemplateSource(files={"subject.txt": "x", "../../x": "x"}, sample={}, settings=TemplateSettings(name="Odd"))
    async with sqlite_side.database.write() as connection:
        await version_store.write_version(
            connection, "odd", odd, check_source(odd), Publication(by="staff:bob", at=NOW)
        )
    with pytest.raises(SyncRefusedError, match=r"odd: '\.\./\.\./x' has no place in a folder"):
        await pulled(sqlite_side, tmp_path / "fresh", "odd")
    assert not (tmp_path / "fresh").exists()
