"""Validate rows of a merge as a submit validates a request, in slices, so that this process goes on with other work."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from notifier import email_address
from notifier.auth.authenticated_key import Caller
from notifier.merge.merge_view import MergeView
from notifier.merge.row_request import RowMapping
from notifier.spreadsheet.sheet_row import SheetRow
from notifier.submission.batch_submitter import iterate_in_slices
from notifier.submission.new_notification import ValidationRules, ValidRequest
from notifier.submission.request_validation import validate_request
from notifier.templating.version_store import TemplateCache


@dataclass(frozen=True, kw_only=True)
class ValidatedRow:
    """A row, with its valid request or its faults."""

    row: SheetRow
    valid: ValidRequest | None
    faults: Sequence[Mapping[str, Any]] = ()  # as the merge shows them
    address_hash: UUID | None = None  # of the recipient of a valid request


class RowValidator:
    """Validates rows by the rules of this instance."""

    def __init__(self, rules: ValidationRules, templates: TemplateCache) -> None:
        self.rules = rules
        self._templates = templates

    async def validate_rows(
        self, rows: Sequence[SheetRow], mapping: RowMapping, merge: MergeView, caller: Caller, now: datetime
    ) -> list[ValidatedRow]:
        """Validate each of these rows with the template version of the merge."""
        return [await self.validate_row(row, mapping, merge, caller, now) async for row in iterate_in_slices(rows)]

    async def validate_row(
        self, row: SheetRow, mapping: RowMapping, merge: MergeView, caller: Caller, now: datetime
    ) -> ValidatedRow:
        """Validate one row."""
        request, cell_faults = mapping.build_request(row, merge.id)
        valid = await validate_request(request, caller, self.rules, self._templates, now, cell_faults)
        if not isinstance(valid, ValidRequest):
            return ValidatedRow(row=row, valid=None, faults=mapping.describe_faults(row, valid))
        return ValidatedRow(row=row, valid=valid, address_hash=hash_address(valid.recipient))


def hash_address(recipient: str) -> UUID:
    """Hash an address, in the form in which addresses are compared."""
    key = email_address.get_address_key(recipient).encode()
    return UUID(bytes=hashlib.sha256(key).digest()[:16])
