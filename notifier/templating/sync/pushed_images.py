"""The images of a push: converted unless the database has them already, and written together with the versions."""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.audit import Actor
from notifier.db.dialect import insert_if_absent
from notifier.db.engine import OpenReader
from notifier.db.tables import Asset, get_columns
from notifier.errors import Fault, InvalidRequestError
from notifier.ids import generate_id
from notifier.mail.mail_parts import PinnedAsset
from notifier.states import AssetStatus
from notifier.templating import edit_rules
from notifier.templating.assets import asset_store, image_operations
from notifier.templating.assets import conversion_process as image_process
from notifier.templating.assets.asset_store import AssetFileView
from notifier.templating.assets.image_conversion import ConvertedImage, ImageOptions
from notifier.templating.assets.image_operations import REJECTED
from notifier.templating.sync.asset_files import ImageFile

_asset = get_columns(Asset)


@dataclass(frozen=True, kw_only=True)
class PushedImage:
    """An image of a push, with the file that versions show."""

    pinned: PinnedAsset
    file: ImageFile
    converted: ConvertedImage | None  # None: the database has it


async def prepare_images(
    open_reader: OpenReader,
    images: Mapping[str, ImageFile],
    open_slot: Callable[[], AbstractAsyncContextManager[object]],
) -> dict[str, PushedImage]:
    """Convert the images that the database does not have, each in a slot. Raises `InvalidRequestError`."""
    async with open_reader() as connection:
        stored = await _get_stored_files(connection, images)
    prepared, faults = {}, []
    for name, file in images.items():
        if name in stored:
            prepared[name] = PushedImage(pinned=asset_store.pin_file(stored[name]), file=file, converted=None)
            continue
        async with open_slot():
            image = await asyncio.to_thread(image_process.convert_in_child, file.data, file.options)
        if isinstance(image, ConvertedImage):
            pinned = asset_store.pin_file(asset_store.describe_files(image))
            prepared[name] = PushedImage(pinned=pinned, file=file, converted=image)
        else:
            reason = image.reason if image else image_process.CRASHED.reason
            faults.append(Fault(f"/images/{name}/content", REJECTED, f"_assets/{name}: {reason}"))
    if faults:
        raise InvalidRequestError(faults)
    return prepared


async def _get_stored_files(
    connection: AsyncConnection, images: Mapping[str, ImageFile]
) -> dict[str, dict[str, AssetFileView]]:
    """Get the converted files of those images that were uploaded before with the same bytes and options."""
    options = (_asset.mode, _asset.width, _asset.height, _asset.operations)
    query = select(_asset.name, _asset.original, *options, _asset.files)
    query = query.where(_asset.name.in_(images), _asset.status == AssetStatus.READY)
    return {
        row.name: msgspec.convert(row.files, dict[str, AssetFileView])
        for row in await connection.execute(query)
        if bytes(row.original) == hashlib.sha256(images[row.name].data).digest()
        and _build_options(row) == images[row.name].options
    }


def _build_options(row: Any) -> ImageOptions:
    operations = image_operations.read_operations(row.operations)
    return ImageOptions(mode=row.mode, width=row.width, height=row.height, operations=operations)


async def write_images(
    connection: AsyncConnection, images: Collection[tuple[str, PushedImage]], *, actor: Actor
) -> None:
    """Write converted images. A name that exists in the database keeps its image there.

    Raises `TooManyTemplatesError`.
    """
    for name, image in sorted(images, key=lambda item: item[0]):
        if image.converted is None:
            continue
        await asset_store.write_files(connection, image.converted, actor.at)
        rows = await connection.execute(select(_asset.id).where(_asset.name == name))
        if rows.first() is None:
            await edit_rules.require_room(connection, Asset)
            original = await asset_store.write_original(connection, image.file.data, actor.at)
            row = asset_store.build_new_row(original, image.file.options, revision=1, actor=actor)
            row |= {"id": generate_id(), "name": name, "status": AssetStatus.READY, "progress": 100}
            files = msgspec.to_builtins(asset_store.describe_files(image.converted))
            row |= {"detail": image.converted.note, "files": files}
            await insert_if_absent(connection, Asset, row)
