"""Images as files: `_assets/<name>.png` (or jpg, gif, webp), with the options in `_assets/<name>.toml`.

They are converted by the same code as uploads, so that a version has the same hash here and on the server.
"""

import hashlib
import json
import tomllib
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

import msgspec
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Doer
from notifier.db.tables import Asset, Attachment, columns
from notifier.ids import new_id
from notifier.rendering.source import PinnedAsset
from notifier.states import AssetMode, AssetStatus
from notifier.templating.assets import asset
from notifier.templating.assets import process as image_process
from notifier.templating.assets.image import Made, Refused, Wish, kind_of

FOLDER: Final = "_assets"
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
_ALLOWED = (*_EXTENSIONS.values(), "jpeg")
_asset, _attachment = columns(Asset), columns(Attachment)


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """An image in the folder, with its options."""

    data: bytes
    wish: Wish


_Side = Annotated[int, msgspec.Meta(ge=1, le=asset.WIDEST)]


class _Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The keys of the TOML file beside the image."""

    mode: AssetMode = AssetMode.FIT
    width: _Side | None = None
    height: _Side | None = None


def pinned(root: Path, names: Collection[str]) -> dict[str, PinnedAsset]:
    """Pin those of the images that are in the folder, as a version does. Raises `ValueError`."""
    return {name: asset.pin(asset.described(_made(name, file))) for name, file in _files(root, names).items()}


async def push(connection: AsyncConnection, root: Path, assets: Mapping[str, PinnedAsset], *, actor: Doer) -> None:
    """Write the images of a version from files. A name that exists in the database keeps the image of the staff."""
    for name, file in sorted(_files(root, assets).items()):
        image = _made(name, file)
        await asset.keep_files(connection, image, actor.at)
        rows = await connection.execute(select(_asset.id).where(_asset.name == name))
        if rows.first() is None:
            original = await asset.keep_original(connection, file.data, actor.at)
            row = asset.new_row(original, file.wish, revision=1, actor=actor)
            row |= {"id": new_id(), "name": name, "status": AssetStatus.READY, "progress": 100, "detail": image.note}
            await connection.execute(insert(Asset).values(row | {"files": msgspec.to_builtins(asset.described(image))}))


def missing(root: Path, names: Collection[str]) -> set[str]:
    """Find the names that the folder has no image of. Raises `ValueError`."""
    return set(names) - _files(root, names).keys()


async def pull(connection: AsyncConnection, root: Path, names: Collection[str]) -> list[Path]:
    """Write the uploads of these names into the folder; return the files that were written."""
    query = select(_asset.name, _asset.mode, _asset.width, _asset.height, _attachment.octets)
    query = query.join(Attachment, _attachment.sha256 == _asset.original).where(
        _asset.name.in_(names), _asset.status == AssetStatus.READY
    )
    written = []
    for row in await connection.execute(query.order_by(_asset.name)):
        folder = root / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        data = bytes(row.octets)
        options = msgspec.to_builtins(_Said(mode=row.mode, width=row.width, height=row.height))
        toml = "".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
        for extension, content in ((_EXTENSIONS[kind_of(data)], data), ("toml", toml.encode())):
            path = folder / f"{row.name}.{extension}"
            path.write_bytes(content)
            written.append(path)
    return written


def _files(root: Path, names: Collection[str]) -> dict[str, _File]:
    """Read the images of these names that are in the folder."""
    images = {}
    for name in names:
        paths = [path for extension in _ALLOWED if (path := root / FOLDER / f"{name}.{extension}").is_file()]
        if len(paths) > 1:
            raise ValueError(f"{FOLDER}: {' and '.join(path.name for path in paths)} are one name")
        if paths:
            images[name] = _File(data=paths[0].read_bytes(), wish=_wish(paths[0].with_suffix(".toml")))
    return images


def _wish(path: Path) -> Wish:
    if not path.is_file():
        return Wish()
    try:
        options = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _Said)
    except (ValueError, msgspec.ValidationError) as error:
        raise ValueError(f"{FOLDER}/{path.name}: {error}") from error
    return Wish(mode=options.mode, width=options.width, height=options.height)


def _made(name: str, file: _File) -> Made:
    image = _run(hashlib.sha256(file.data).digest(), file.data, file.wish)
    if isinstance(image, Made):
        return image
    raise ValueError(f"{FOLDER}/{name}: {image.reason}")


@lru_cache(maxsize=32)
def _run(_digest: bytes, data: bytes, wish: Wish) -> Made | Refused:
    """Convert an image once in a process, however many templates show it."""
    return image_process.run(data, wish) or image_process.DIED
