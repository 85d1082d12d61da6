"""Images that templates name: uploaded under a name, made ready by a job, pinned by each version that shows them.

A version keeps the SHA-256 of what it shows, and what a job has made is never deleted here: a new upload or a deletion
under the same name changes no mail of a version that is published already, only what is published from then on.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import INSTANCE, Asset, AssetFile, Attachment, get_columns
from notifier.errors import NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.mail.pinned_images import PinnedAsset
from notifier.outbox import entry_store
from notifier.outbox.handler import NewEntry
from notifier.states import AssetMode, AssetStatus, EntryKind, Priority
from notifier.templating import template_limits
from notifier.templating.assets.image_conversion import ConvertedImage, ImageOptions

ASSET_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MAX_WIDTH = 1200  # CSS pixels that may be asked for
NO_FILE = "there is no such file"
_asset, _file, _attachment = get_columns(Asset), get_columns(AssetFile), get_columns(Attachment)


class AssetFileView(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an image has become."""

    sha256: str  # hexadecimal
    content_type: str
    width: int  # in its own pixels
    height: int
    size: int  # octets


@dataclass(frozen=True, kw_only=True)
class AssetView:
    """An image as it stands."""

    id: UUID
    name: str
    status: AssetStatus
    detail: str  # why it failed, or what was left out
    progress: int  # per cent
    mode: AssetMode
    width: int | None
    height: int | None
    files: dict[str, AssetFileView]  # "1x", "2x"
    revision: int  # from 1
    updated_by: str
    updated_at: datetime

    @property
    def options(self) -> ImageOptions:
        """What it shall be."""
        return ImageOptions(mode=self.mode, width=self.width, height=self.height)


@dataclass(frozen=True, kw_only=True)
class Uploader:
    """Who uploads, and when."""

    actor: str
    at: datetime


class StaleAssetError(NotifierError):
    """Somebody else has uploaded or deleted the image since you looked."""

    def __init__(self, name: str, theirs: AssetView | None) -> None:
        self.theirs = theirs  # None: it is not there
        stands = f"it stands at revision {theirs.revision}" if theirs else "there is none"
        super().__init__(f"{name} was changed since: {stands}")


class AssetNotReadyError(NotifierError):
    """The image has no files: it is still worked at, or has failed."""

    def __init__(self, found: AssetView) -> None:
        super().__init__(f"{found.name} is {found.status}" + (f": {found.detail}" if found.detail else ""))


async def upload_asset(
    connection: AsyncConnection, name: str, data: bytes, wish: ImageOptions, *, seen: int, by: Uploader
) -> AssetView:
    """Keep the upload and ask for its files; `seen` is the revision that stands there, 0 for a new name.

    Raises `StaleAssetError`, `TooManyTemplatesError`.
    The name and the wish have been checked, and the data are at most `LARGEST_UPLOAD`.
    """
    there = await _find_asset(connection, name, lock=True)
    if (there.revision if there else 0) != seen:
        raise StaleAssetError(name, there)
    if there is None:
        await template_limits.require_room(connection, Asset)
    original = await write_original(connection, data, by.at)
    values = build_new_row(original, wish, revision=seen + 1, by=by)
    id_ = there.id if there else generate_id()
    try:
        if there:
            await connection.execute(update(Asset).where(_asset.id == id_).values(values))
        else:
            await connection.execute(insert(Asset).values(values | {"id": id_, "name": name}))
    except IntegrityError as error:  # another upload of the same new name was quicker
        raise StaleAssetError(name, None) from error
    entry = NewEntry(
        id=generate_id(),
        kind=EntryKind.ASSET,
        subject_id=id_,
        service_id=INSTANCE,
        priority=Priority.NORMAL,
        due_at=by.at,
    )
    await entry_store.enqueue_entries(connection, [entry])
    return _build_asset_view({**values, "id": id_, "name": name})


def build_new_row(original: bytes, wish: ImageOptions, *, revision: int, by: Uploader) -> dict[str, Any]:
    """The columns of an image of which nothing is made yet, but for its id and its name."""
    return {
        "status": AssetStatus.PENDING,
        "detail": "",
        "progress": 0,
        "original": original,
        "mode": wish.mode,
        "width": wish.width,
        "height": wish.height,
        "files": None,
        "revision": revision,
        "updated_by": by.actor,
        "updated_at": by.at,
    }


async def list_assets(connection: AsyncConnection) -> list[AssetView]:
    """All images, by name."""
    found = await connection.execute(select(*_asset).order_by(_asset.name))
    return [_build_asset_view(row) for row in found.mappings()]


async def get_asset(connection: AsyncConnection, name: str) -> AssetView:
    """The image as it stands. Raises `NotFoundError`."""
    return _require_found(await _find_asset(connection, name), name)


async def delete_asset(connection: AsyncConnection, name: str) -> AssetView:
    """Forget the name; what versions show of it stays. Raises `NotFoundError`."""
    found = _require_found(await _find_asset(connection, name, lock=True), name)
    await connection.execute(delete(Asset).where(_asset.id == found.id))
    return found


async def get_pinned_assets(connection: AsyncConnection, names: Collection[str]) -> dict[str, PinnedAsset]:
    """Those of these images that are ready, as a version shows them; the others are left out, and its check says so."""
    if not names:
        return {}
    ready = select(_asset.name, _asset.files).where(_asset.name.in_(names), _asset.status == AssetStatus.READY)
    found = await connection.execute(ready.order_by(_asset.name))
    return {row.name: pin_file(_parse_files(row.files)) for row in found}


def pin_file(files: Mapping[str, AssetFileView]) -> PinnedAsset:
    """The best file, in the size of the plain one."""
    best, plain = files.get("2x", files["1x"]), files["1x"]
    return PinnedAsset(sha256=best.sha256, content_type=best.content_type, width=plain.width, height=plain.height)


def describe_files(made: ConvertedImage) -> dict[str, AssetFileView]:
    """What is said about the files."""
    return {
        name: AssetFileView(
            sha256=hashlib.sha256(file.data).hexdigest(),
            content_type=file.content_type,
            width=file.width,
            height=file.height,
            size=len(file.data),
        )
        for name, file in made.files.items()
    }


async def write_original(connection: AsyncConnection, data: bytes, now: datetime) -> bytes:
    """Write the octets of an upload; their SHA-256."""
    digest = hashlib.sha256(data).digest()
    await _insert_once(connection, Attachment, {"sha256": digest, "octets": data, "created_at": now})
    return digest


async def write_files(connection: AsyncConnection, made: ConvertedImage, now: datetime) -> None:
    """Write the octets that are not there yet, in one order, so that two who write the same never wait in a circle."""
    files = {hashlib.sha256(file.data).digest(): file for file in made.files.values()}
    for digest, file in sorted(files.items(), key=lambda item: item[0]):
        row = {"sha256": digest, "content_type": file.content_type, "octets": file.data, "created_at": now}
        await _insert_once(connection, AssetFile, row)


async def get_file(connection: AsyncConnection, digest: bytes) -> tuple[str, bytes]:
    """The content type and the octets of a file that an image has become. Raises `NotFoundError`."""
    found = await get_files(connection, [digest])
    if digest not in found:
        raise NotFoundError(NO_FILE)
    return found[digest]


async def get_files(connection: StatementConnection, hashes: Collection[bytes]) -> dict[bytes, tuple[str, bytes]]:
    """Of files that images have become, by SHA-256: the content type and the octets."""
    statement = select(_file.sha256, _file.content_type, _file.octets).where(_file.sha256.in_(hashes))
    found = await connection.execute(statement)
    return {bytes(row.sha256): (row.content_type, bytes(row.octets)) for row in found}


async def _insert_once(
    connection: AsyncConnection, table: type[Attachment] | type[AssetFile], row: dict[str, Any]
) -> None:
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    await connection.execute(make(table).values(row).on_conflict_do_nothing())


async def _find_asset(connection: AsyncConnection, name: str, *, lock: bool = False) -> AssetView | None:
    query = select(*_asset).where(_asset.name == name)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return _build_asset_view(row) if row is not None else None


def _require_found(found: AssetView | None, name: str) -> AssetView:
    if found is None:
        raise NotFoundError(f"there is no image named {name!r}")
    return found


def _build_asset_view(row: Mapping[Any, Any]) -> AssetView:
    kept = {name: row[name] for name in AssetView.__dataclass_fields__}
    return AssetView(**kept | {"files": _parse_files(kept["files"])})


def _parse_files(stored: Any) -> dict[str, AssetFileView]:
    return msgspec.convert(stored or {}, dict[str, AssetFileView])
