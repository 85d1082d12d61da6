"""The models of batches. Merges the defaults into each notification, and points faults into the whole body."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from notifier import strict_json
from notifier.api import fields, request_model
from notifier.api.errors.faults import FaultLister, build_more_errors, get_common_code
from notifier.api.errors.problem_document import FaultOut
from notifier.api.errors.problem_responses import BadRequestError
from notifier.api.notifications import models, submission_models
from notifier.api.request_model import MAX_BODY_BYTES, MAX_NAMES, MAX_NOTIFICATION_BYTES, RequestModel, drop_unset
from notifier.api.request_reader import IDEMPOTENCY_KEY_PATTERN, MAX_IDEMPOTENCY_KEY_LENGTH, parse_idempotency_key
from notifier.errors import Fault, InvalidRequestError
from notifier.states import Status
from notifier.submission.batch_submitter import BatchItem
from notifier.submission.new_notification import Idempotency, NotificationRequest

MAX_BATCH_SIZE = 1000
MAX_BATCH_MAILS = 5000
"""Mails of one batch: its notifications and their copies."""
INDEX_SUFFIX_LENGTH = len("#999")
"""Characters of the index that is appended to a batch's key to get the key of a notification."""
MAX_BATCH_FAULTS_BYTES = 256 * 1024  # of all faults in the reply to a batch
_ITEM_KEY_FIELD = "idempotency_key"


class OnError(StrEnum):
    """The effect of a fault in one notification on the others."""

    REJECT_ALL = "reject_all"
    SKIP_INVALID = "skip_invalid"


def _describe_item(json_schema: dict[str, Any]) -> None:
    """Describe an item: no field is required, because `defaults` may have it."""
    json_schema.pop("required", None)
    json_schema["examples"] = [submission_models.NOTIFICATION_EXAMPLE]


class BatchItemIn(submission_models.NotificationIn):
    """A notification of a batch: fields that `defaults` has may be left out. Otherwise as in a single POST."""

    model_config = ConfigDict(json_schema_extra=_describe_item)

    idempotency_key: Annotated[str, fields.document_field(pattern=IDEMPOTENCY_KEY_PATTERN)] | None = Field(
        None,
        min_length=1,
        max_length=MAX_IDEMPOTENCY_KEY_LENGTH,
        description="As the header of a single POST, in the same key space.",
    )


class BatchIn(RequestModel):
    """Many notifications at once."""

    limits = request_model.BATCH_LIMITS
    defaults: dict[str, Any] = Field(
        default_factory=dict,
        max_length=MAX_NAMES,
        description="Fields for every notification that lacks them; variables are merged by name. A notification's own "
        "fields take precedence.",
    )
    notifications: list[Any] = Field(min_length=1, max_length=MAX_BATCH_SIZE)
    on_error: OnError = Field(
        OnError.REJECT_ALL, strict=False, description="A fault refuses all notifications, or only its own one."
    )

    def drop_unset(self) -> "BatchIn":
        """Drop what counts as not set from the defaults and the notifications."""
        return BatchIn.model_construct(
            defaults=drop_unset(BatchItemIn, self.defaults),
            notifications=[drop_unset(BatchItemIn, item) for item in self.notifications],
            on_error=self.on_error,
        )


class BatchShownIn(BatchIn):
    """Many notifications at once."""

    notifications: list[BatchItemIn] = Field(min_length=1, max_length=MAX_BATCH_SIZE)


class ErrorOut(BaseModel):
    """Why one notification was not accepted."""

    code: str
    errors: list[FaultOut]
    more_errors: int = fields.describe_optional("Number of faults that are not listed; missing if all are listed.")


class BatchAcceptedOut(BaseModel):
    """An accepted notification of a batch."""

    model_config = ConfigDict(extra="forbid")

    index: int
    id: UUID
    status: models.ShownStatus
    created_at: datetime
    replayed: bool = Field(description="It was accepted before with the same key.")


class BatchRefusedOut(BaseModel):
    """A refused notification of a batch."""

    model_config = ConfigDict(extra="forbid")

    index: int
    error: ErrorOut


BatchResultOut = TypeAliasType("BatchResultOut", BatchAcceptedOut | BatchRefusedOut)


class BatchOut(BaseModel):
    """One result for each notification, in their order."""

    batch_id: UUID
    results: list[BatchResultOut]


def count_mails(batch: BatchIn) -> int:
    """Count the mails of a normalised batch, copies included. Raises `InvalidRequestError` if there are too many."""
    total = sum(
        1 + sum(_count_addresses(batch.defaults, item, name) for name in ("cc", "bcc")) for item in batch.notifications
    )
    if total > MAX_BATCH_MAILS:
        detail = f"a batch has at most {MAX_BATCH_MAILS} mails, copies counted, and this one has {total}: split it"
        raise InvalidRequestError([Fault("/notifications", "too_many", detail)])
    return total


def _count_addresses(defaults: Mapping[str, Any], item: Any, name: str) -> int:
    addresses = item.get(name, defaults.get(name)) if isinstance(item, dict) else None
    return len(addresses) if isinstance(addresses, list) else 0


def parse_items(batch: BatchIn, received: BatchIn, key: str | None) -> Iterator[BatchItem]:
    """Parse the notifications of a normalised batch one after the other, as the iterator is read.

    `received` is the batch before it was normalised. Raises `BadRequestError` if it is too large with the defaults.
    """
    total = 0
    for index, item in enumerate(batch.notifications):
        own_key = item.get(_ITEM_KEY_FIELD) if isinstance(item, dict) else None
        body = _merge_defaults(batch.defaults, item)
        text = strict_json.encode_canonical(body)
        total += len(text)
        if total > MAX_BODY_BYTES:
            detail = f"with the defaults in each notification it has more than {MAX_BODY_BYTES} bytes"
            raise BadRequestError("request_too_large", detail)
        if len(text) > MAX_NOTIFICATION_BYTES < submission_models.measure_without_attachments(body, len(text)):
            detail = f"at most {MAX_NOTIFICATION_BYTES} bytes without attachments"
            parsed, faults = NotificationRequest(), [Fault("", "too_large", detail)]
        else:
            parsed, faults = submission_models.parse_notification(
                body, _merge_defaults(received.defaults, received.notifications[index])
            )
        if own_key is not None:
            own_key, problem = parse_idempotency_key(own_key) if isinstance(own_key, str) else (None, "it is a string")
            if problem is not None:
                faults = [*faults, Fault(f"/{_ITEM_KEY_FIELD}", "invalid_idempotency_key", problem)]
        if own_key is None and key is not None:
            own_key = f"{key}#{index}"
        digest = hashlib.sha256(text).digest()
        yield BatchItem(
            request=parsed,
            faults=faults,
            idempotency=Idempotency(key=own_key, request_hash=digest) if own_key is not None else None,
        )


def _merge_defaults(defaults: Mapping[str, Any], item: Any) -> Any:
    """Merge the defaults into an item: the body of the same single POST."""
    if not isinstance(item, dict):
        return item
    own = {name: value for name, value in item.items() if name != _ITEM_KEY_FIELD}
    default_variables, own_variables = defaults.get("variables"), own.get("variables")
    if isinstance(default_variables, dict) and isinstance(own_variables, dict):
        own["variables"] = {**default_variables, **own_variables}
    return {**defaults, **own}


def list_batch_faults(batch: BatchIn, faults: Mapping[int, Sequence[Fault]]) -> list[Fault]:
    """List the faults of a refused batch, without duplicates."""
    return list(dict.fromkeys(fault for index, own in faults.items() for fault in place_faults(batch, index, own)))


def build_item_error(batch: BatchIn, index: int, faults: Sequence[Fault], lister: FaultLister) -> dict[str, Any]:
    """Build the error of one notification, with at least one fault and as many as the reply has room for."""
    listed, _ = lister.list_faults(place_faults(batch, index, faults[: max(lister.faults_left, 1)]), at_least=1)
    return {"code": get_common_code(faults), "errors": listed} | build_more_errors(len(faults) - len(listed))


def place_faults(batch: BatchIn, index: int, faults: Sequence[Fault]) -> list[Fault]:
    """Point the faults of one notification into the whole body: to the notification, or to the default it took."""
    item, own = batch.notifications[index], f"/notifications/{index}"
    places = ["/defaults" if _comes_from_defaults(batch.defaults, item, fault.pointer) else own for fault in faults]
    return [replace(fault, pointer=place + fault.pointer) for place, fault in zip(places, faults, strict=True)]


def _comes_from_defaults(defaults: Any, item: Any, pointer: str) -> bool:
    """Whether the field of the pointer (or the variable below `variables`) is in the defaults and not in the item."""
    names = [name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:]]
    for name in names[: 2 if names[:1] == ["variables"] else 1]:
        if not isinstance(defaults, dict) or name not in defaults:
            return False
        if not isinstance(item, dict) or name not in item:
            return isinstance(item, dict)
        defaults, item = defaults[name], item[name]
    return False


class BatchProgressOut(BaseModel):
    """The progress of a batch."""

    id: UUID
    created_at: datetime
    size: int = Field(description="How many notifications the request had.")
    accepted: int = Field(description="How many of them were written.")
    ended: int = Field(description="How many of those have ended.")
    progress: int = Field(ge=0, le=100, description="The share of the accepted ones that has ended, in percent.")
    statuses: dict[Status, int] = Field(description="How many have each status.")
    cancelled_at: datetime | None = Field(description="When it was cancelled: from then on no mail of it is begun.")
    cancelling: bool = Field(description="Some of its mails are stopped, but do not have the status `cancelled` yet.")


class BatchCancelledOut(BatchProgressOut):
    """The progress of a batch when the rest of it was cancelled."""

    cancelled: int = Field(
        description="How many mails, including copies, this request cancelled. While the batch is `cancelling`, a "
        "sender cancels the others; none of them is sent."
    )
