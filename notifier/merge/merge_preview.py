"""Show what a row of a merge becomes, before anything is submitted."""

import asyncio
from datetime import datetime

from notifier.auth.authenticated_key import Caller
from notifier.db.engine import Database
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.merge.merge_files import open_merge_file
from notifier.merge.merge_view import MergeStateError, MergeView
from notifier.merge.row_request import build_mapping
from notifier.merge.row_validation import RowValidator
from notifier.spreadsheet.sheet_row import SheetRow, SpreadsheetError
from notifier.submission.new_notification import NewNotification, build_new_notification
from notifier.templating.version_store import TemplateCache

MAX_PREVIEWS = 1
"""Files that one process opens for previews at the same time."""


class MergePreviewer:
    """Builds the notification of one row."""

    def __init__(self, database: Database, validator: RowValidator, templates: TemplateCache) -> None:
        self._database = database
        self._validator = validator
        self._templates = templates
        self._slots = asyncio.Semaphore(MAX_PREVIEWS)

    async def build_draft(self, merge: MergeView, caller: Caller, number: int, now: datetime) -> NewNotification:
        """Build the notification of the row with this number in the file.

        Raises `NotFoundError`, `InvalidRequestError` with the faults of the row, `MergeStateError`, and
        `MergeFileGoneError`.
        """
        version = await self._templates.get_version(merge.template, merge.template_version)
        if version is None:
            raise MergeStateError(f"the template {merge.template} was deleted: restore it")
        try:
            async with self._slots, open_merge_file(self._database, merge.id) as sheet:
                mapping = build_mapping(sheet.info.headings, version.variables_schema, merge)
                await sheet.skip_to(number - 1)
                rows = await sheet.read_rows(1)
        except SpreadsheetError as error:
            raise MergeStateError(str(error)) from error
        row = _require_row(rows, number)
        validated = await self._validator.validate_row(row, mapping, merge, caller, now)
        if validated.valid is None:
            raise InvalidRequestError(
                [
                    Fault("/query/row", fault["code"], f"{fault['column'] or 'the row'}: {fault['detail']}")
                    for fault in validated.faults
                ]
            )
        return build_new_notification(validated.valid, caller, self._validator.rules, None, merge.id)


def _require_row(rows: list[SheetRow], number: int) -> SheetRow:
    if not rows or rows[0].number != number:
        raise NotFoundError(f"row {number} of the file is empty, or there is no such row")
    return rows[0]
