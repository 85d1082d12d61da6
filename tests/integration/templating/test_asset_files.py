"""Images beside template files have the same bytes and hash as if staff had uploaded them."""

import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest
from integration.templating.conftest import Write
from sqlalchemy import select
from support import sample_images
from support.document_blocks import list_blocks

from notifier.audit import Actor
from notifier.db.tables import Asset, get_columns
from notifier.errors import TemplateError
from notifier.rendering.pool import RenderingPool
from notifier.runtime import wiring
from notifier.templating import version_store
from notifier.templating.assets import asset_store
from notifier.templating.assets.image_conversion import ImageOptions
from notifier.templating.sync import asset_files, pushed_images, template_files
from notifier.templating.sync.asset_files import ImageFile
from notifier.templating.sync.push import Push

_asset = get_columns(Asset)
BODY = '<html><body>{{ image("logo", alt="Shop") }} {{ name }}</body></html>'
CROP, OPERATIONS = [block.text for block in list_blocks("docs/assets.md") if block.language == "toml"]


def _changes(**others: str | bytes) -> dict[str, str | bytes | None]:
    files: dict[str, str | bytes | None] = {
        "hello/body.html": BODY,
        "_assets/logo.png": sample_images.encode_image(sample_images.draw_red_bar()),
        "_assets/logo.toml": CROP,
    }
    return files | {f"_assets/{name.replace('_', '.')}": content for name, content in others.items()}


async def test_operations_are_pushed_and_pulled(parts: wiring.ProcessParts, write: Write, tmp_path: Path) -> None:
    """The operations of a file are done like those of an upload, stored with the image, and pulled as they were."""
    root = write(_changes(logo_toml=OPERATIONS))
    source = template_files.read_template(root, "hello")
    assert (source.assets["logo"].width, source.assets["logo"].height) == (150, 50)
    async with RenderingPool() as pool:
        await Push(database=parts.database, pool=pool, clock=parts.clock, by="test").run(root, ["hello"])
    pulled = tmp_path / "pulled"
    async with parts.database.read() as connection:
        (view,) = await asset_store.list_assets(connection)
        original = await asset_store.get_original(connection, "logo")
    options = ImageOptions(mode=view.mode, width=view.width, height=view.height, operations=view.operations)
    asset_files.write_image(pulled, "logo", ImageFile(data=original, options=options))
    assert [operation.do.value for operation in view.operations] == ["fit", "grey"]
    written = (pulled / asset_files.ASSET_FOLDER / "logo.toml").read_text()
    assert tomllib.loads(written) == tomllib.loads(OPERATIONS)
    assert asset_files.pin_images(pulled, ["logo"]) == source.assets


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("width = 10\n[[operations]]\ndo = 'grey'", "/operations: leave out mode, width and height"),
        ("[[operations]]\ndo = 'blur'", "/operations/0/radius: blur needs it"),
        ("[[operations]]\ndo = 'emboss'", "emboss"),
    ],
)
def test_operations_of_a_file_are_checked(write: Write, text: str, reason: str) -> None:
    """A wrong operation is a line with the file and the field."""
    with pytest.raises(ValueError, match=r"logo\.toml") as refused:
        asset_files.pin_images(write(_changes(logo_toml=text)), ["logo"])
    assert reason in str(refused.value)


async def test_a_push_brings_the_image_and_leaves_that_of_staff_alone(parts: wiring.ProcessParts, write: Write) -> None:
    """The version shows the file; an uploaded image of the same name is not replaced."""
    root = write(_changes())
    source = template_files.read_template(root, "hello")
    assert (source.assets["logo"].width, source.assets["logo"].height) == (150, 50)
    async with RenderingPool() as pool:
        push = Push(database=parts.database, pool=pool, clock=parts.clock, by="test")
        await push.run(root, ["hello"])
        async with parts.database.write() as connection:
            (view,) = await asset_store.list_assets(connection)
            assert asset_store.pin_file(view.files) == source.assets["logo"]
            octets, _ = (
                await asset_store.get_files(connection, [bytes.fromhex(source.assets["logo"].sha256)])
            ).popitem()
            assert octets.hex() == source.assets["logo"].sha256
            actor = Actor(name="staff", at=parts.clock.now())
            await asset_store.upload_asset(connection, "logo", b"theirs", ImageOptions(), revision=1, actor=actor)
        (again,) = await push.run(write(_changes(logo_toml=CROP.replace("150", "60"))), ["hello"])
    async with parts.database.read() as connection:
        assert (await connection.execute(select(_asset.revision, _asset.updated_by))).one() == (2, "staff")
        version = await version_store.get_numbered_version(connection, "hello", again.number)
        assert version is not None
        assert (await version_store.get_sources(connection, [version.id]))[version.id].assets["logo"].width == 60


async def test_the_image_of_an_earlier_push_is_not_converted_again(parts: wiring.ProcessParts, write: Write) -> None:
    """The same bytes with the same options are taken from the database; with other options they are converted."""
    root = write(_changes())
    async with RenderingPool() as pool:
        await Push(database=parts.database, pool=pool, clock=parts.clock, by="test").run(root, ["hello"])
    images = asset_files.read_images(root, ["logo"])
    (again,) = (await pushed_images.prepare_images(parts.database.read, images, nullcontext)).values()
    assert (again.converted, again.pinned) == (None, asset_files.pin_images(root, ["logo"])["logo"])
    other = {"logo": ImageFile(data=images["logo"].data, options=ImageOptions(width=20))}
    (changed,) = (await pushed_images.prepare_images(parts.database.read, other, nullcontext)).values()
    assert changed.converted is not None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"logo_png": sample_images.HTML}, "neither PNG"),
        ({"logo_toml": "width = 0"}, "logo.toml"),
        ({"logo_toml": "size = 5"}, "logo.toml"),
        ({"logo_jpg": b"x"}, "the same name"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(write: Write, changes: dict[str, str | bytes], problem: str) -> None:
    """A bad file makes the template unreadable, and the message names the file."""
    with pytest.raises(TemplateError, match=problem):
        template_files.read_template(write(_changes(**changes)), "hello")
