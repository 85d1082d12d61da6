"""The limits of request bodies in bytes and JSON values. Each request model has one of them.

The limits of replies are in `reply_limits`.
"""

from dataclasses import dataclass
from typing import Final

MAX_NOTIFICATION_BYTES: Final = 512 * 1024  # of one notification's JSON, apart from its attachments
MAX_BODY_BYTES: Final = 15 * 1024 * 1024  # of any request's body: one with attachments, an image, or a batch
MAX_TEMPLATE_BYTES: Final = 2 * 1024 * 1024  # of a template's or layout's JSON, with its escapes
MAX_FORM_BYTES: Final = 64 * 1024  # of a body that has only short fields
MAX_BODY_VALUES: Final = 200_000  # values and names in one body; 256 KiB of variables have at most 175,000
MAX_BATCH_VALUES: Final = 300_000  # values and names in a batch: 300 for each of a thousand notifications
MAX_FORM_VALUES: Final = 5_000  # values and names in a body that has only short fields


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """The limits of a body."""

    max_bytes: int  # after decompression
    max_values: int  # as `strict_json.has_more_values` counts them

    def describe(self) -> str:
        """Describe the limits in a sentence for the OpenAPI document."""
        return f"At most {self.max_bytes:,} bytes and {self.max_values:,} JSON values and names."


FORM_LIMITS: Final = BodyLimits(max_bytes=MAX_FORM_BYTES, max_values=MAX_FORM_VALUES)
VARIABLES_LIMITS: Final = BodyLimits(max_bytes=MAX_NOTIFICATION_BYTES, max_values=MAX_BODY_VALUES)
TEMPLATE_LIMITS: Final = BodyLimits(max_bytes=MAX_TEMPLATE_BYTES, max_values=MAX_BODY_VALUES)
FILES_LIMITS: Final = BodyLimits(max_bytes=MAX_BODY_BYTES, max_values=MAX_BODY_VALUES)
BATCH_LIMITS: Final = BodyLimits(max_bytes=MAX_BODY_BYTES, max_values=MAX_BATCH_VALUES)
