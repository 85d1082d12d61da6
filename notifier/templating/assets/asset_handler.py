"""Making images ready: an upload becomes the files that mails show, in a child, and the row says how far it is.

The handler of asset entries. Done twice it is as if done once: the same upload becomes the same files.
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
from notifier.outbox.handler import (
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
"""Seconds that a note about the progress may take before the work goes on without it."""
LOST = "the sender died each time that it worked at this picture"
UNWRITABLE = "what became of the picture could not be written down"
GONE = "the upload is not in the database any more"
_asset, _attachment = get_columns(Asset), get_columns(Attachment)


@dataclass(frozen=True, kw_only=True)
class _Upload:
    """What is to be made ready."""

    id: UUID
    revision: int
    options: ImageOptions
    data: bytes | None  # None: it is gone


class AssetResult(msgspec.Struct, frozen=True, kw_only=True):
    """Record: what became of one revision of an image."""

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

    # -- what the worker asks ---------------------------------------------------------------------

    def get_capacity(self) -> int:
        """One: a picture takes a processor and much memory."""
        return self.slots

    async def process(self, batch: Sequence[ClaimedEntry], desk: WorkerContext) -> None:
        """One picture after the other."""
        for entry in batch:
            async with self._working:
                desk.settle(await self._process_entry(entry))

    async def record(self, connection: StatementConnection, settled: Sequence[Settlement]) -> None:
        """Write what became of images, unless somebody has uploaded another one meanwhile."""
        for end in (one.record for one in settled if isinstance(one.record, AssetResult)):
            found = update(Asset).where(_asset.id == end.id, _asset.status == AssetStatus.PENDING)
            if end.revision is not None:
                found = found.where(_asset.revision == end.revision)
            values = {"status": end.status, "detail": end.detail[:500], "progress": 100}
            if end.files is not None:
                values["files"] = msgspec.to_builtins(end.files)
            await connection.execute(found.values(values))

    async def recover_lost(self, _connection: StatementConnection, lost: Sequence[LostClaim]) -> list[Settlement]:
        """What has killed its holders, or cannot be recorded, has failed."""
        return [
            Settlement(
                entry=one.entry,
                action=FinishEntry(),
                record=AssetResult(
                    id=one.entry.subject_id,
                    revision=None,
                    status=AssetStatus.FAILED,
                    detail=UNWRITABLE if one.unwritable else LOST,
                ),
            )
            for one in lost
        ]

    async def replay(
        self, _connection: StatementConnection, _notes: Sequence[tuple[ClaimedEntry, JournalNote]]
    ) -> list[Settlement]:
        """Nothing is ever noted: what is not recorded is made again."""
        return []

    def close(self) -> None:
        """Stop what is under way, and give it back."""
        self._closing = True

    # -- the steps, in order ----------------------------------------------------------------------

    async def _process_entry(self, entry: ClaimedEntry) -> Settlement:
        upload = await self._load_upload(entry.subject_id)
        if upload is None:  # deleted, or another entry has made it ready
            return Settlement(entry=entry, action=FinishEntry())
        made = await self._convert(upload)
        if made is None:
            return Settlement(entry=entry, action=ReleaseEntry())
        if isinstance(made, RejectedImage):
            self._log.info("asset_failed", entry_id=str(entry.id), reason=made.reason)
            end = AssetResult(id=upload.id, revision=upload.revision, status=AssetStatus.FAILED, detail=made.reason)
        else:
            async with self._database.write() as connection:  # before the row names them
                await asset_store.write_files(connection, made, self._clock.now())
            end = AssetResult(
                id=upload.id,
                revision=upload.revision,
                status=AssetStatus.READY,
                detail=made.note,
                files=asset_store.describe_files(made),
            )
        return Settlement(entry=entry, action=FinishEntry(), record=end)

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
        wish = ImageOptions(mode=row.mode, width=row.width, height=row.height)
        data = bytes(row.octets) if row.octets is not None else None
        return _Upload(id=row.id, revision=row.revision, options=wish, data=data)

    async def _convert(self, upload: _Upload) -> ConvertedImage | RejectedImage | None:
        """The files, made by a child that this process only waits for; None if it is to stop."""
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
            wanted=lambda: not self._closing,
        )

    async def _write_progress(self, upload: _Upload, percent: int) -> None:
        """How far it is; a number that is only looked at, so that a lost one costs nothing."""
        statement = update(Asset).where(
            _asset.id == upload.id,
            _asset.revision == upload.revision,
            _asset.status == AssetStatus.PENDING,
            _asset.progress < percent,
        )
        with contextlib.suppress(DatabaseUnavailableError):
            async with self._database.write() as connection:
                await connection.execute(statement.values(progress=percent))
