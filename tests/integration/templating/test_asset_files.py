"""Images beside template files: the same octets and the same hash as if staff had uploaded them."""

from pathlib import Path

import pytest
from integration.templating.conftest import Write
from parts import picture
from parts.document import blocks
from sqlalchemy import select

from notifier import wiring
from notifier.audit import Doer
from notifier.db.tables import Asset, columns
from notifier.errors import TemplateError
from notifier.rendering.pool import RenderingPool
from notifier.templating import store
from notifier.templating.assets import asset
from notifier.templating.assets import files as asset_files
from notifier.templating.assets.image import Wish
from notifier.templating.folder import files
from notifier.templating.folder.push import Push

_asset = columns(Asset)
BODY = '<html><body>{{ image("logo", alt="Shop") }} {{ name }}</body></html>'
(CROP,) = [block.text for block in blocks("docs/assets.md") if block.language == "toml"]


def _changes(**others: str | bytes) -> dict[str, str | bytes | None]:
    given: dict[str, str | bytes | None] = {
        "hello/body.html": BODY,
        "_assets/logo.png": picture.encoded(picture.drawing()),
        "_assets/logo.toml": CROP,
    }
    return given | {f"_assets/{name.replace('_', '.')}": content for name, content in others.items()}


async def test_a_push_brings_the_image_and_leaves_that_of_staff_alone(parts: wiring.Base, write: Write) -> None:
    """The version shows the file; an image of that name that staff have uploaded stays theirs."""
    root = write(_changes())
    source = files.read(root, "hello")
    assert (source.assets["logo"].width, source.assets["logo"].height) == (150, 50)
    async with RenderingPool() as pool:
        push = Push(database=parts.database, pool=pool, clock=parts.clock, by="test")
        await push.run(root, ["hello"])
        async with parts.database.write() as connection:
            (view,) = await asset.every(connection)
            assert asset.pin(view.files) == source.assets["logo"]
            octets, _ = (await asset.octets(connection, [bytes.fromhex(source.assets["logo"].sha256)])).popitem()
            assert octets.hex() == source.assets["logo"].sha256
            actor = Doer(actor="staff", at=parts.clock.now())
            await asset.upload(connection, "logo", b"theirs", Wish(), revision=1, actor=actor)
        (again,) = await push.run(write(_changes(logo_toml=CROP.replace("150", "60"))), ["hello"])
    async with parts.database.read() as connection:
        assert (await connection.execute(select(_asset.revision, _asset.updated_by))).one() == (2, "staff")
        version = await store.numbered(connection, "hello", again.number)
        assert version is not None
        assert (await store.sources(connection, [version.id]))[version.id].assets["logo"].width == 60


async def test_a_pull_writes_what_was_uploaded(parts: wiring.Base, write: Write, tmp_path: Path) -> None:
    """The upload itself and its wish: read again they come to the same."""
    root = write(_changes())
    before = asset_files.pinned(root, ["logo"])
    async with parts.database.write() as connection:
        await asset_files.push(connection, root, before, actor=Doer(actor="test", at=parts.clock.now()))
        written = await asset_files.pull(connection, tmp_path / "other", ["logo", "unknown"])
    assert [path.name for path in written] == ["logo.png", "logo.toml"]
    assert asset_files.pinned(tmp_path / "other", ["logo"]) == before


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"logo_png": picture.HTML}, "neither PNG"),
        ({"logo_toml": "width = 0"}, "logo.toml"),
        ({"logo_toml": "size = 5"}, "logo.toml"),
        ({"logo_jpg": b"x"}, "one name"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(write: Write, changes: dict[str, str | bytes], problem: str) -> None:
    """The template cannot be read, and the message names the file."""
    with pytest.raises(TemplateError, match=problem):
        files.read(write(_changes(**changes)), "hello")
