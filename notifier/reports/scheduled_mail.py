"""The mail of a schedule: validated as any submit, and written in the transaction of the job's step.

It belongs to a service: the one that owns the schedule, or the one that the option `service` of a schedule of the
instance names. Its idempotency key is `schedule:<name>:<planned time>`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.auth.authenticated_key import Caller
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.db.tables import Service, get_columns
from notifier.errors import Fault, IdempotencyKeyReusedError
from notifier.jobs.job_action import JobFailedError, JobRunView, StepResult
from notifier.states import KeyKind
from notifier.submission.new_notification import (
    Idempotency,
    NewNotification,
    NotificationRequest,
    ValidationRules,
    ValidRequest,
    build_new_notification,
)
from notifier.submission.notification_writer import write_in_transaction
from notifier.submission.request_validation import validate_request
from notifier.templating.version_store import TemplateCache

SERVICE_OPTION = "service"
MAX_ACTOR_LENGTH = 64
MAX_SHOWN_FAULTS = 3
_service = get_columns(Service)


@dataclass(frozen=True, kw_only=True)
class ScheduleCaller(Caller):
    """A schedule as the caller of a submit: it may do what a live key of its service may do."""

    schedule_name: str

    @property
    def actor_name(self) -> str:
        """The name under which records are written."""
        return f"schedule:{self.schedule_name}"[:MAX_ACTOR_LENGTH]


class ScheduledMailer:
    """Validates the mail of schedules."""

    def __init__(self, database: Database, templates: TemplateCache, rules: ValidationRules, clock: Clock) -> None:
        self._database = database
        self._templates = templates
        self._rules = rules
        self._clock = clock

    async def find_owner_faults(
        self, connection: AsyncConnection, service_id: UUID, options: Mapping[str, Any], *, pointer: str
    ) -> tuple[Caller | None, list[Fault]]:
        """Find the service that would submit, or why there is none."""
        name, place = options.get(SERVICE_OPTION), f"{pointer}/{SERVICE_OPTION}"
        if service_id.int and name is not None:
            return None, [Fault(place, "unknown_field", "only a schedule of the instance names a service")]
        if not service_id.int and name is None:
            detail = "a schedule of the instance needs the option `service`: the service in whose name it sends"
            return None, [Fault(place, "missing_field", detail)]
        caller = await _find_caller(connection, service_id, name, "")
        if caller is None:
            return None, [Fault(place, "unknown_service", f"there is no service named {str(name)[:64]!r}")]
        return caller, []

    async def find_faults(self, caller: Caller, request: NotificationRequest) -> list[Fault]:
        """Find the faults of a request, with pointers as in a submit."""
        valid = await validate_request(request, caller, self._rules, self._templates, self._clock.now())
        return [] if isinstance(valid, ValidRequest) else valid

    async def load_caller(self, run: JobRunView) -> Caller:
        """Load the service that submits for a run. Raises `JobFailedError` if there is none."""
        async with self._database.read() as connection:
            _, faults = await self.find_owner_faults(connection, run.service_id, run.options, pointer="")
            name = run.options.get(SERVICE_OPTION)
            caller = await _find_caller(connection, run.service_id, name, run.schedule_name or str(run.id))
        if faults or caller is None:
            raise JobFailedError(_describe_faults(faults) or "its service does not exist any more")
        return caller

    async def prepare_mail(self, run: JobRunView, caller: Caller, request: NotificationRequest) -> NewNotification:
        """Validate the mail of a run as a submit does. Raises `JobFailedError` with its first faults."""
        valid = await validate_request(request, caller, self._rules, self._templates, self._clock.now())
        if not isinstance(valid, ValidRequest):
            raise JobFailedError(f"the mail was refused, as a submit would be: {_describe_faults(valid)}")
        return build_new_notification(valid, caller, self._rules, build_idempotency(run), None)


def build_idempotency(run: JobRunView) -> Idempotency:
    """Build the idempotency key of a run's mail. Another request with this key is an error, never taken for the mail.

    The figures of a report change from one try to the next, so the planned time stands for the content.
    """
    if run.schedule_name is None or run.planned_at is None:
        key = f"job:{run.id}"
    else:
        key = f"schedule:{run.schedule_name}:{run.planned_at.isoformat().replace('+00:00', 'Z')}"
    return Idempotency(key=key, request_hash=hashlib.sha256(f"{run.schedule_id} {key}".encode()).digest())


async def write_scheduled_mail(connection: AsyncConnection, new: NewNotification) -> StepResult:
    """Write the mail in the transaction of the last step of its run. Raises `JobFailedError`."""
    try:
        submitted = await write_in_transaction(connection, new)
    except IdempotencyKeyReusedError as error:
        key = new.row.idempotency_key
        detail = f"another notification of the service has the idempotency key {key}: rename the schedule"
        raise JobFailedError(detail) from error
    line = f"notification {submitted.id}: {'submitted before' if submitted.replayed else submitted.status}"
    return StepResult(is_done=True, counts={"notifications": int(not submitted.replayed)}, log=[line])


def move_faults(faults: Sequence[Fault], pointer: str) -> list[Fault]:
    """Move the faults of a request to the options from which it was built."""
    return [replace(fault, pointer=f"{pointer}{fault.pointer}") for fault in faults]


async def _find_caller(
    connection: AsyncConnection, service_id: UUID, name: object, schedule_name: str
) -> ScheduleCaller | None:
    """Find the service with this id, or of the instance the one with this name."""
    columns = select(_service.id, _service.name, _service.from_domains, _service.team_recipients)
    query = columns.where(_service.id == service_id if service_id.int else _service.name == str(name))
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    return ScheduleCaller(
        key_id=row.id,
        kind=KeyKind.LIVE,
        scopes=frozenset(),
        expires_at=None,
        key_rate=None,
        service_id=row.id,
        service_name=row.name,
        from_domains=tuple(row.from_domains),
        team_recipients=frozenset(row.team_recipients or ()),
        service_rate=None,
        schedule_name=schedule_name,
    )


def _describe_faults(faults: Sequence[Fault]) -> str:
    return "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults[:MAX_SHOWN_FAULTS])
