"""The shape of a batch: defaults merged into each notification, a key for each, and where a fault stands in all."""

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
from notifier.api import body_limits, reply, schema, value
from notifier.api.body_limits import MAX_BODY_BYTES, MAX_NOTIFICATION_BYTES
from notifier.api.problems import BadRequestError
from notifier.api.reply_limits import FaultLister, code_of, more_errors
from notifier.api.request import KEY_PATTERN, LONGEST_KEY, read_key
from notifier.api.request_model import MAX_NAMES, RequestModel, normalised
from notifier.errors import Fault, InvalidRequestError
from notifier.notification.check import Wanted
from notifier.notification.submit_batch import Item
from notifier.notification.write import Idempotency

MOST = 1000
MAX_BATCH_MAILS = 5000
"""Mails of one batch: each of its notifications, and each of their copies."""
KEY_ROOM = len("#999")
"""What the index takes when the key of the whole batch is made one of a single notification."""
MAX_BATCH_FAULTS_BYTES = 256 * 1024  # of all faults in the reply to a batch; each refused notification has a code
_OWN_KEY = "idempotency_key"


class OnError(StrEnum):
    """What a fault in one notification means for the others."""

    REJECT_ALL = "reject_all"
    SKIP_INVALID = "skip_invalid"


def _may_lack_all(shown: dict[str, Any]) -> None:
    """Nothing is demanded of an item: `defaults` may have it."""
    shown.pop("required", None)
    shown["examples"] = [schema.EXAMPLE]


class BatchItemIn(schema.NotificationIn):
    """A notification of a batch; what `defaults` has may be left out. With them it is what a single POST takes."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_may_lack_all)

    idempotency_key: Annotated[str, value.documented(pattern=KEY_PATTERN)] | None = Field(
        None,
        min_length=1,
        max_length=LONGEST_KEY,
        description="As the header of a single POST, in the same key space.",
    )


class BatchIn(RequestModel):
    """Many notifications at once."""

    limits = body_limits.BATCH
    model_config = ConfigDict(extra="forbid", strict=True)

    defaults: dict[str, Any] = Field(
        default_factory=dict,
        max_length=MAX_NAMES,
        description="Fields for every notification that lacks them; variables are merged by name. What an item has "
        "itself is not looked at.",
    )
    notifications: list[Any] = Field(min_length=1, max_length=MOST)
    on_error: OnError = Field(
        OnError.REJECT_ALL, strict=False, description="One fault refuses all, or only its own notification."
    )

    def normalised(self) -> "BatchIn":
        """The same without what counts as not set in the defaults and the notifications."""
        return BatchIn.model_construct(
            defaults=normalised(BatchItemIn, self.defaults),
            notifications=[normalised(BatchItemIn, item) for item in self.notifications],
            on_error=self.on_error,
        )

    @property
    def rejects_all(self) -> bool:
        """True if one fault refuses all."""
        return self.on_error is OnError.REJECT_ALL


class BatchShownIn(BatchIn):
    """Many notifications at once; how the documentation shows them. They are parsed one by one."""

    notifications: list[BatchItemIn] = Field(min_length=1, max_length=MOST)


class FaultOut(BaseModel):
    """One thing wrong with the request."""

    pointer: str
    code: str
    detail: str


class ErrorOut(BaseModel):
    """Why one notification was not accepted."""

    code: str
    errors: list[FaultOut]
    more_errors: int = reply.sometimes("How many more there are than are listed; absent if none.")


class BatchAcceptedOut(BaseModel):
    """One notification that is written."""

    model_config = ConfigDict(extra="forbid")

    index: int
    id: UUID
    status: reply.ShownStatus
    created_at: datetime
    replayed: bool = Field(description="It was accepted before, with the same key.")


class BatchRefusedOut(BaseModel):
    """One that is not."""

    model_config = ConfigDict(extra="forbid")

    index: int
    error: ErrorOut


BatchResultOut = TypeAliasType("BatchResultOut", BatchAcceptedOut | BatchRefusedOut)


class BatchOut(BaseModel):
    """One result for each notification, in their order."""

    batch_id: UUID
    results: list[BatchResultOut]


def mails(wanted: BatchIn) -> int:
    """How many mails a normalised batch asks for, copies counted. Raises `InvalidRequestError` if they are too many."""
    total = sum(
        1 + sum(_listed(wanted.defaults, item, name) for name in ("cc", "bcc")) for item in wanted.notifications
    )
    if total > MAX_BATCH_MAILS:
        detail = f"a batch has at most {MAX_BATCH_MAILS} mails, copies counted, and this one has {total}: split it"
        raise InvalidRequestError([Fault("/notifications", "too_many", detail)])
    return total


def _listed(defaults: Mapping[str, Any], item: Any, name: str) -> int:
    """How many addresses the item, or else the defaults, has in a list."""
    found = item.get(name, defaults.get(name)) if isinstance(item, dict) else None
    return len(found) if isinstance(found, list) else 0


def parse(wanted: BatchIn, received: BatchIn, key: str | None) -> Iterator[Item]:
    """The notifications of a normalised batch, one after the other as they are read.

    Raises `BadRequestError` if the defaults blow it up.
    """
    total = 0
    for index, given in enumerate(wanted.notifications):
        own_key = given.get(_OWN_KEY) if isinstance(given, dict) else None
        body = _merged(wanted.defaults, given)
        text = strict_json.canonical(body)
        total += len(text)
        if total > MAX_BODY_BYTES:
            detail = f"with the defaults in each notification it has more than {MAX_BODY_BYTES} bytes"
            raise BadRequestError("request_too_large", detail)
        if len(text) > MAX_NOTIFICATION_BYTES < schema.weight(body, len(text)):
            detail = f"at most {MAX_NOTIFICATION_BYTES} bytes without attachments"
            parsed, faults = Wanted(), [Fault("", "too_large", detail)]
        else:
            parsed, faults = schema.parse(body, _merged(received.defaults, received.notifications[index]))
        if own_key is not None:
            own_key, problem = read_key(own_key) if isinstance(own_key, str) else (None, "it is a string")
            if problem is not None:
                faults = [*faults, Fault(f"/{_OWN_KEY}", "invalid_idempotency_key", problem)]
        if own_key is None and key is not None:
            own_key = f"{key}#{index}"
        digest = hashlib.sha256(text).digest()
        yield Item(
            wanted=parsed,
            faults=faults,
            idempotency=Idempotency(key=own_key, request_hash=digest) if own_key is not None else None,
        )


def _merged(defaults: Mapping[str, Any], given: Any) -> Any:
    """What a single POST would have said."""
    if not isinstance(given, dict):
        return given
    own = {name: value for name, value in given.items() if name != _OWN_KEY}
    ours, theirs = defaults.get("variables"), own.get("variables")
    if isinstance(ours, dict) and isinstance(theirs, dict):
        own["variables"] = {**ours, **theirs}
    return {**defaults, **own}


def told(wanted: BatchIn, faults: Mapping[int, Sequence[Fault]]) -> list[Fault]:
    """The faults of a refused batch, each once."""
    return list(dict.fromkeys(fault for index, own in faults.items() for fault in placed(wanted, index, own)))


def list_refused(wanted: BatchIn, index: int, faults: Sequence[Fault], lister: FaultLister) -> dict[str, Any]:
    """Why one notification was not accepted, in as many faults as the reply has room for, and at least one."""
    listed, _ = lister.list_faults(placed(wanted, index, faults[: max(lister.faults_left, 1)]), at_least=1)
    return {"code": code_of(faults), "errors": listed} | more_errors(len(faults) - len(listed))


def placed(wanted: BatchIn, index: int, faults: Sequence[Fault]) -> list[Fault]:
    """The faults of one notification with pointers into the whole body: to it, or to the default it took."""
    given = wanted.notifications[index]
    return [
        replace(
            fault,
            pointer=("/defaults" if _is_default(wanted.defaults, given, fault.pointer) else f"/notifications/{index}")
            + fault.pointer,
        )
        for fault in faults
    ]


def _is_default(defaults: Any, given: Any, pointer: str) -> bool:
    """True if what the pointer names first, or second below `variables`, is in the defaults and not in the item."""
    names = [name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:]]
    for name in names[: 2 if names[:1] == ["variables"] else 1]:
        if not isinstance(defaults, dict) or name not in defaults:
            return False
        if not isinstance(given, dict) or name not in given:
            return isinstance(given, dict)
        defaults, given = defaults[name], given[name]
    return False
