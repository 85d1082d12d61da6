"""The job that converts an uploaded image: in a child process, and then its result is written to the image.

It is idempotent: the same upload becomes the same files. An image that was uploaded again meanwhile keeps its new run.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.db.tables import Asset, Attachment, get_columns
from notifier.errors import DatabaseUnavailableError
from notifier.job_states import ENDED_JOB_STATES
from notifier.jobs.job_action import JobAction, JobRunView, StepContext, StepInterruptedError, StepResult
from notifier.states import AssetStatus, JobKind, JobState
from notifier.templating.assets import asset_store, image_operations
from notifier.templating.assets import conversion_process as image_process
from notifier.templating.assets.image_conversion import ConvertedImage, ImageOptions, RejectedImage

PROGRESS_SECONDS = 5.0
"""How long writing the progress may take before the conversion goes on without it."""
GONE = "the upload is not in the database any more"
_asset, _attachment = get_columns(Asset), get_columns(Attachment)


@dataclass(frozen=True, kw_only=True)
class _Upload:
    id: UUID
    revision: int
    options: ImageOptions
    data: bytes | None  # None: it was deleted


class ImageAction(JobAction):
    """Converts one revision of an image, in one step."""

    kind = JobKind.IMAGE
    can_be_scheduled = False

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self, run: JobRunView, context: StepContext) -> ConvertedImage | RejectedImage | None:
        """Convert the upload; None if the image was deleted, or another run has converted it."""
        upload = await self._load_upload(run)
        if upload is None:
            return None
        if upload.data is None:
            return RejectedImage(reason=GONE)
        loop = asyncio.get_running_loop()

        def report(percent: int) -> None:
            context.report_progress(percent)
            with contextlib.suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(self._write_progress(upload, percent), loop).result(PROGRESS_SECONDS)

        image = await asyncio.to_thread(
            image_process.convert_in_child,
            upload.data,
            upload.options,
            progress=report,
            is_wanted=lambda: not context.is_stopping(),
        )
        if image is None:
            raise StepInterruptedError
        return image

    async def apply(
        self, connection: AsyncConnection, run: JobRunView, prepared: Any, context: StepContext
    ) -> StepResult:
        """Write the files and the result, except for an image that was uploaded again meanwhile."""
        image: ConvertedImage | RejectedImage | None = prepared
        if image is None:
            return StepResult(is_done=True, log=["the image was deleted or uploaded again"])
        if isinstance(image, RejectedImage):
            await _write_result(connection, run, {"status": AssetStatus.FAILED, "detail": image.reason})
            return StepResult(is_done=True, log=[f"rejected: {image.reason}"])
        await asset_store.write_files(connection, image, context.now)
        files = msgspec.to_builtins(asset_store.describe_files(image))
        await _write_result(connection, run, {"status": AssetStatus.READY, "detail": image.note, "files": files})
        return StepResult(is_done=True, counts={"files": len(files)}, log=[image.note] if image.note else [])

    async def follow_change(
        self, connection: AsyncConnection, run: JobRunView, state: JobState, error: str | None
    ) -> None:
        """Show on the image why it will not be ready."""
        if state not in ENDED_JOB_STATES:
            return
        detail = error or f"its conversion was {state}"
        await _write_result(connection, run, {"status": AssetStatus.FAILED, "detail": detail})

    async def _load_upload(self, run: JobRunView) -> _Upload | None:
        query = (
            select(
                _asset.id,
                _asset.revision,
                _asset.mode,
                _asset.width,
                _asset.height,
                _asset.operations,
                _attachment.octets,
            )
            .outerjoin(Attachment, _attachment.sha256 == _asset.original)
            .where(*_is_wanted(run))
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        options = ImageOptions(
            mode=row.mode,
            width=row.width,
            height=row.height,
            operations=image_operations.read_operations(row.operations),
        )
        data = bytes(row.octets) if row.octets is not None else None
        return _Upload(id=row.id, revision=row.revision, options=options, data=data)

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


def _is_wanted(run: JobRunView) -> tuple[Any, ...]:
    """SQL conditions for the image of the run, while it has no files and was not uploaded again."""
    conditions = [_asset.id == run.subject_id, _asset.status != AssetStatus.READY]
    if "revision" in run.options:  # a run that a migration has begun has none
        conditions.append(_asset.revision == run.options["revision"])
    return tuple(conditions)


async def _write_result(connection: AsyncConnection, run: JobRunView, values: Mapping[str, Any]) -> None:
    row = {**values, "detail": str(values["detail"])[:500], "progress": 100}
    await connection.execute(update(Asset).where(*_is_wanted(run)).values(row))
