"""Images for templates: uploaded under a name, converted by a job, pinned by versions.

A version keeps the SHA-256 of each image that it shows; the purge deletes files that nothing names. So a new upload or
a deletion changes only the versions that are published later.
"""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor, AuditAction
from notifier.db import stored_file
from notifier.db.dialect import insert_if_absent
from notifier.db.direct_connections import StatementConnection
from notifier.db.tables import INSTANCE, Asset, AssetFile, Attachment, get_columns
from notifier.errors import Fault, NotFoundError, NotifierError
from notifier.ids import generate_id
from notifier.jobs import job_store
from notifier.jobs.job_store import NewJobRun
from notifier.mail.mail_parts import PinnedAsset
from notifier.states import AssetMode, AssetStatus, JobKind
from notifier.templating import edit_rules
from notifier.templating.assets import image_operations
from notifier.templating.assets.image_conversion import MAX_UPLOAD_BYTES, TOO_LONG, ConvertedImage, ImageOptions
from notifier.templating.assets.image_operations import REJECTED, ImageOperation
from notifier.templating.edit_rules import EditConflictError, record_asset, require_same_revision

ASSET_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
MAX_WIDTH = 1200  # CSS pixels
NO_FILE = "there is no such file"
_asset, _file, _attachment = get_columns(Asset), get_columns(AssetFile), get_columns(Attachment)


class AssetFileView(msgspec.Struct, frozen=True, kw_only=True):
    """A converted file of an image."""

    sha256: str  # hexadecimal
    content_type: str
    width: int  # in its own pixels
    height: int
    size: int  # bytes


@dataclass(frozen=True, kw_only=True)
class AssetView:
    """An image with its progress and its converted files."""

    id: UUID
    name: str
    status: AssetStatus
    detail: str  # why it failed, or what was left out
    progress: int  # per cent
    mode: AssetMode
    width: int | None
    height: int | None
    operations: tuple[ImageOperation, ...]  # instead of mode, width and height
    files: dict[str, AssetFileView]  # "1x", "2x"
    revision: int  # from 1
    updated_by: str
    updated_at: datetime


class StaleAssetError(EditConflictError):
    """Somebody has uploaded or deleted the image since the editor has loaded it."""

    noun = "image"


class AssetNotReadyError(NotifierError):
    """The image has no files: its conversion is not finished, or has failed."""

    def __init__(self, asset: AssetView) -> None:
        super().__init__(f"{asset.name} is {asset.status}" + (f": {asset.detail}" if asset.detail else ""))


def find_upload_faults(name: str, data: bytes, options: ImageOptions) -> list[Fault]:
    """Find the faults of an upload before the image is decoded."""
    faults = []
    if len(data) > MAX_UPLOAD_BYTES:
        faults.append(Fault("/content", REJECTED, TOO_LONG))
    if not ASSET_NAME.fullmatch(name):
        faults.append(Fault("/name", REJECTED, "lower-case letters, digits, - and _, at most 64, and a letter first"))
    return faults + find_option_faults(options)


def find_option_faults(options: ImageOptions) -> list[Fault]:
    """Find the faults of the options of a conversion."""
    faults = []
    if options.mode is AssetMode.CROP and (options.width is None or options.height is None):
        faults.append(Fault("/mode", REJECTED, "crop needs a width and a height"))
    if options.operations and (options.mode, options.width, options.height) != (AssetMode.FIT, None, None):
        faults.append(Fault("/operations", REJECTED, "leave out mode, width and height, or the operations"))
    return faults + image_operations.find_operation_faults(options.operations)


async def upload_asset(
    connection: AsyncConnection, name: str, data: bytes, options: ImageOptions, *, revision: int, actor: Actor
) -> AssetView:
    """Save an upload without faults, and enqueue its conversion. Revision 0: a new name.

    Raises `StaleAssetError`, `TooManyTemplatesError`.
    """
    stored = await _find_asset(connection, name, lock=True)
    require_same_revision(StaleAssetError, stored, revision)
    if stored is None:
        await edit_rules.require_room(connection, Asset)
    await _give_up_files(connection, stored, actor.at)
    original = await write_original(connection, data, actor.at)
    id_ = stored.id if stored else generate_id()
    row = {"id": id_, "name": name} | build_new_row(original, options, revision=revision + 1, actor=actor)
    if stored:
        await connection.execute(update(Asset).where(_asset.id == stored.id).values(row))
    elif not await insert_if_absent(connection, Asset, row):
        raise StaleAssetError(await _find_asset(connection, name))
    run = NewJobRun(
        service_id=INSTANCE,
        kind=JobKind.IMAGE,
        created_by=actor.name,
        subject_id=id_,
        options={"name": name, "revision": revision + 1},
    )
    await job_store.create_run(connection, run, actor.at)
    saved = _build_asset_view(row)
    await _record(connection, AuditAction.ASSET_UPLOADED, saved, actor)
    return saved


async def _give_up_files(connection: AsyncConnection, asset: AssetView | None, now: datetime) -> None:
    """Keep the files that an image gives up for a day: a version that shows them may be published at this moment."""
    hashes = [bytes.fromhex(file.sha256) for file in asset.files.values()] if asset is not None else []
    await stored_file.renew_files(connection, AssetFile, hashes, now)


def build_new_row(original: bytes, options: ImageOptions, *, revision: int, actor: Actor) -> dict[str, Any]:
    """Build the columns, but for id and name, of an image that is not converted yet."""
    return {
        "status": AssetStatus.PENDING,
        "detail": "",
        "progress": 0,
        "original": original,
        "mode": options.mode,
        "width": options.width,
        "height": options.height,
        "operations": msgspec.to_builtins(options.operations) or None,
        "files": None,
        "revision": revision,
        "updated_by": actor.name,
        "updated_at": actor.at,
    }


async def list_assets(connection: AsyncConnection) -> list[AssetView]:
    """List all images, by name."""
    rows = await connection.execute(select(*_asset).order_by(_asset.name))
    return [_build_asset_view(row) for row in rows.mappings()]


async def get_asset(connection: AsyncConnection, name: str) -> AssetView:
    """Get the image. Raises `NotFoundError`."""
    return _require_found(await _find_asset(connection, name), name)


async def delete_asset(connection: AsyncConnection, name: str, *, actor: Actor) -> None:
    """Delete the name; published versions still show the image. Raises `NotFoundError`."""
    stored = _require_found(await _find_asset(connection, name, lock=True), name)
    await _give_up_files(connection, stored, actor.at)
    await connection.execute(delete(Asset).where(_asset.id == stored.id))
    await _record(connection, AuditAction.ASSET_DELETED, stored, actor)


async def _record(connection: AsyncConnection, action: AuditAction, asset: AssetView, actor: Actor) -> None:
    fields: dict[str, Any] = {name: getattr(asset, name) for name in ("name", "revision", "mode", "width", "height")}
    if asset.operations:
        fields["operations"] = msgspec.to_builtins(asset.operations)
    await record_asset(connection, action, asset.id, actor, fields)


async def get_pinned_assets(connection: AsyncConnection, names: Collection[str]) -> dict[str, PinnedAsset]:
    """Pin those of these images that are ready; the check of the source reports the others."""
    if not names:
        return {}
    ready = select(_asset.name, _asset.files).where(_asset.name.in_(names), _asset.status == AssetStatus.READY)
    rows = await connection.execute(ready.order_by(_asset.name))
    return {row.name: pin_file(_parse_files(row.files)) for row in rows}


def pin_file(files: Mapping[str, AssetFileView]) -> PinnedAsset:
    """Pin the file with the most pixels, shown in the size of the 1x file."""
    best, single = files.get("2x", files["1x"]), files["1x"]
    return PinnedAsset(sha256=best.sha256, content_type=best.content_type, width=single.width, height=single.height)


def describe_files(image: ConvertedImage) -> dict[str, AssetFileView]:
    """Describe the files of a converted image."""
    return {
        name: AssetFileView(
            sha256=hashlib.sha256(file.data).hexdigest(),
            content_type=file.content_type,
            width=file.width,
            height=file.height,
            size=len(file.data),
        )
        for name, file in image.files.items()
    }


async def write_original(connection: AsyncConnection, data: bytes, now: datetime) -> bytes:
    """Write the bytes of an upload; return their SHA-256."""
    digest = hashlib.sha256(data).digest()
    await stored_file.write_file(connection, Attachment, {"sha256": digest, "octets": data, "created_at": now})
    return digest


async def write_files(connection: AsyncConnection, image: ConvertedImage, now: datetime) -> None:
    """Write the files, or renew those that exist: ordered by hash, so that two writers of them do not deadlock."""
    files = {hashlib.sha256(file.data).digest(): file for file in image.files.values()}
    for digest, file in sorted(files.items(), key=lambda item: item[0]):
        row = {"sha256": digest, "content_type": file.content_type, "octets": file.data, "created_at": now}
        await stored_file.write_file(connection, AssetFile, row)


async def get_original(connection: AsyncConnection, name: str) -> bytes:
    """Get the bytes of the upload of an image that is ready. Raises `NotFoundError`."""
    query = select(_attachment.octets).join(Asset, _attachment.sha256 == _asset.original)
    row = (await connection.execute(query.where(_asset.name == name, _asset.status == AssetStatus.READY))).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no image named {name!r} that is ready")
    return bytes(row.octets)


async def get_file(connection: AsyncConnection, digest: bytes) -> tuple[str, bytes]:
    """Get content type and bytes of a converted file. Raises `NotFoundError`."""
    files = await get_files(connection, [digest])
    if digest not in files:
        raise NotFoundError(NO_FILE)
    return files[digest]


async def get_files(connection: StatementConnection, hashes: Collection[bytes]) -> dict[bytes, tuple[str, bytes]]:
    """Get content type and bytes of converted files, by SHA-256."""
    statement = select(_file.sha256, _file.content_type, _file.octets).where(_file.sha256.in_(hashes))
    rows = await connection.execute(statement)
    return {bytes(row.sha256): (row.content_type, bytes(row.octets)) for row in rows}


async def _find_asset(connection: AsyncConnection, name: str, *, lock: bool = False) -> AssetView | None:
    query = select(*_asset).where(_asset.name == name)
    row = (await connection.execute(query.with_for_update() if lock else query)).mappings().one_or_none()
    return _build_asset_view(row) if row is not None else None


def _require_found(asset: AssetView | None, name: str) -> AssetView:
    if asset is None:
        raise NotFoundError(f"there is no image named {name!r}")
    return asset


def _build_asset_view(row: Mapping[Any, Any]) -> AssetView:
    values = {name: row[name] for name in AssetView.__dataclass_fields__}
    operations = image_operations.read_operations(values["operations"])
    return AssetView(**values | {"files": _parse_files(values["files"]), "operations": operations})


def _parse_files(stored: Any) -> dict[str, AssetFileView]:
    return msgspec.convert(stored or {}, dict[str, AssetFileView])
