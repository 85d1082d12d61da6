"""The outbox handler that converts uploaded images; the row of the image has the progress.

It is idempotent: the same upload becomes the same files.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import msgspec
from sqlalchemy import select, update

from notifier.clock import Clock
from notifier.db.direct_connections import StatementConnection
from notifier.db.engine import Database
from notifier.db.tables import Asset, Attachment, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.outbox.entry_handler import (
    ClaimedEntry,
    FinishEntry,
    JournalNote,
    LostClaim,
    ReleaseEntry,
    Settlement,
    WorkerContext,
)
from notifier.states import AssetStatus, EntryKind
from notifier.telemetry.logging import get_logger
from notifier.templating.assets import asset_store
from notifier.templating.assets import conversion_process as image_process
from notifier.templating.assets.image_conversion import ConvertedImage, ImageOptions, RejectedImage

LEASE = timedelta(minutes=5)
PROGRESS_SECONDS = 5.0
"""How long writing the progress may take before the conversion goes on without it."""
LOST = "the sender died each time that it converted this image"
UNWRITABLE = "the result of the conversion could not be written"
GONE = "the upload is not in the database any more"
_asset, _attachment = get_columns(Asset), get_columns(Attachment)


@dataclass(frozen=True, kw_only=True)
class _Upload:
    id: UUID
    revision: int
    options: ImageOptions
    data: bytes | None  # None: it was deleted


class AssetResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of converting one revision of an image, to be recorded."""

    id: UUID
    revision: int | None  # None: whichever is pending
    status: AssetStatus
    detail: str
    files: dict[str, asset_store.AssetFileView] | None = None


class AssetHandler:
    """The handler of asset entries."""

    kind = EntryKind.ASSET
    slots = 1
    bodies = 1
    lease = LEASE
    still_wanted = "1 = 1"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._working = asyncio.Lock()
        self._closing = False
        self._log = get_logger()

    # -- what the worker calls --------------------------------------------------------------------

    def get_capacity(self) -> int:
        """One entry at a time: an image takes a processor and much memory."""
        return self.slots

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        """Convert one image after the other."""
        for entry in batch:
            async with self._working:
                desk.settle(await self._process_entry(entry))

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Write the results, except those of an image that was uploaded again meanwhile."""
        for result in (settlement.record for settlement in settled):
            if not isinstance(result, AssetResult):
                continue
            statement = update(Asset).where(_asset.id == result.id, _asset.status == AssetStatus.PENDING)
            if result.revision is not None:
                statement = statement.where(_asset.revision == result.revision)
            values = {"status": result.status, "detail": result.detail[:500], "progress": 100}
            if result.files is not None:
                values["files"] = msgspec.to_builtins(result.files)
            await connection.execute(statement.values(values))

    async def recover_lost(self, _connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """Fail images whose conversion has killed its senders, or whose result cannot be written."""
        return [
            Settlement(
                entry=loss.entry,
                action=FinishEntry(),
                record=AssetResult(
                    id=loss.entry.subject_id,
                    revision=None,
                    status=AssetStatus.FAILED,
                    detail=UNWRITABLE if loss.unwritable else LOST,
                ),
            )
            for loss in lost
        ]

    async def replay(
        self, _connection: StatementConnection, _notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """Return nothing: there are no journal notes, and an image without a result is converted again."""
        return []

    def close(self) -> None:
        """Stop the conversion that is running; its entry is released."""
        self._closing = True

    # -- the steps, in order ----------------------------------------------------------------------

    async def _process_entry(self, entry: ClaimedEntry) -> Settlement:
        upload = await self._load_upload(entry.subject_id)
        if upload is None:  # deleted, or another entry has converted it
            return Settlement(entry=entry, action=FinishEntry())
        image = await self._convert(upload)
        if image is None:
            return Settlement(entry=entry, action=ReleaseEntry())
        if isinstance(image, RejectedImage):
            self._log.info("asset_failed", entry_id=str(entry.id), reason=image.reason)
            status, detail, files = AssetStatus.FAILED, image.reason, None
        else:
            async with self._database.write() as connection:  # before the row refers to them
                await asset_store.write_files(connection, image, self._clock.now())
            status, detail, files = AssetStatus.READY, image.note, asset_store.describe_files(image)
        result = AssetResult(id=upload.id, revision=upload.revision, status=status, detail=detail, files=files)
        return Settlement(entry=entry, action=FinishEntry(), record=result)

    async def _load_upload(self, id_: UUID) -> _Upload | None:
        query = (
            select(_asset.id, _asset.revision, _asset.mode, _asset.width, _asset.height, _attachment.octets)
            .outerjoin(Attachment, _attachment.sha256 == _asset.original)
            .where(_asset.id == id_, _asset.status == AssetStatus.PENDING)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        options = ImageOptions(mode=row.mode, width=row.width, height=row.height)
        data = bytes(row.octets) if row.octets is not None else None
        return _Upload(id=row.id, revision=row.revision, options=options, data=data)

    async def _convert(self, upload: _Upload) -> ConvertedImage | RejectedImage | None:
        """Convert the upload in a child process; None if this process is stopping."""
        if upload.data is None:
            return RejectedImage(reason=GONE)
        loop = asyncio.get_running_loop()

        def progress(percent: int) -> None:
            with contextlib.suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(self._write_progress(upload, percent), loop).result(PROGRESS_SECONDS)

        return await asyncio.to_thread(
            image_process.convert_in_child,
            upload.data,
            upload.options,
            progress=progress,
            is_wanted=lambda: not self._closing,
        )

    async def _write_progress(self, upload: _Upload, percent: int) -> None:
        """Write the progress. It is for people to look at, so a lost write does not matter."""
        statement = update(Asset).where(
            _asset.id == upload.id,
            _asset.revision == upload.revision,
            _asset.status == AssetStatus.PENDING,
            _asset.progress < percent,
        )
        with contextlib.suppress(DatabaseUnavailableError):
            async with self._database.write() as connection:
                await connection.execute(statement.values(progress=percent))
