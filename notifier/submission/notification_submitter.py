"""Accept a notification: validate the request, build its rows, write them durably.

It promises that what it accepts can be rendered with the version it pinned; it never sends and never waits for a relay.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from uuid import UUID

from notifier.auth.authenticated_key import Caller
from notifier.clock import Clock
from notifier.db.engine import Database
from notifier.errors import Fault, IdempotencyInProgressError, InvalidRequestError, LockTimeoutError
from notifier.submission.idempotency import (
    EarlierNotification,
    Idempotency,
    IdempotencyError,
    SubmissionResult,
    find_earlier_notifications,
    scope_idempotency,
)
from notifier.submission.new_notification import NewNotification, build_new_notification
from notifier.submission.notification_request import NotificationRequest, ValidRequest
from notifier.submission.request_validation import ValidationRules, validate_request
from notifier.templating.version_store import TemplateCache, TemplateKeyUse
from notifier.throttle.queue_forecast import QueueForecast, QueueTooLongError


class NotificationSubmitter:
    """Validates requests and hands them to the intake."""

    def __init__(
        self,
        database: Database,
        write: Callable[[NewNotification], Awaitable[SubmissionResult | IdempotencyError]],
        *,
        templates: TemplateCache,
        rules: ValidationRules,
        forecast: QueueForecast,
        clock: Clock,
    ) -> None:
        self._database = database
        self._write = write  # commits before it returns
        self._templates = templates
        self._rules = rules
        self._forecast = forecast
        self._clock = clock

    async def submit(
        self,
        caller: Caller,
        request: NotificationRequest,
        idempotency: Idempotency | None,
        *,
        parse_faults: Sequence[Fault] = (),
    ) -> SubmissionResult:
        """Accept the request durably. `parse_faults` are those found while parsing.

        Raises `InvalidRequestError` with all faults, `QueueTooLongError`, `IdempotencyKeyReusedError`,
        `IdempotencyInProgressError` or `DatabaseUnavailableError`; nothing was written, but after the last only a
        retry with the key can tell.
        """
        idempotency = scope_idempotency(caller, idempotency) if idempotency else None
        try:
            notification = await self.prepare(caller, request, idempotency, parse_faults)
            self.check_queue_time(notification)
        except (InvalidRequestError, QueueTooLongError):
            # What was right when it was accepted stays accepted, though its template may have gone since.
            if idempotency and (replay := await self._replay(caller, idempotency)):
                return replay
            raise
        try:
            result = await self._write(notification)
        except LockTimeoutError as error:
            if idempotency is None:
                raise
            raise IdempotencyInProgressError from error
        if not isinstance(result, SubmissionResult):
            raise result
        self.record_template_use(caller, [notification])
        return result

    async def prepare(
        self,
        caller: Caller,
        request: NotificationRequest,
        idempotency: Idempotency | None = None,
        parse_faults: Sequence[Fault] = (),
        *,
        batch_id: UUID | None = None,
    ) -> NewNotification:
        """What to write for the request. Raises `InvalidRequestError` with all faults, those of parsing included."""
        now = self._clock.now()
        valid = await validate_request(request, caller, self._rules, self._templates, now, parse_faults)
        if not isinstance(valid, ValidRequest):
            raise InvalidRequestError(valid)
        return build_new_notification(valid, caller, self._rules, idempotency, batch_id)

    def check_queue_time(self, notification: NewNotification, *, ahead: int = 0) -> None:
        """Raise `QueueTooLongError` if it, or a copy of it, would expire in the queue.

        `ahead`: mails of the same request that are sent before it.
        """
        row, ahead = notification.row, ahead + len(notification.copies)
        self._forecast.check(row.priority, row.service_id, row.expires_at, ahead=ahead)

    def record_template_use(self, caller: Caller, notifications: Iterable[NewNotification]) -> None:
        """Record that the caller uses the templates of these."""
        if self._templates.uses is None:
            return
        for template_id in {notification.row.template_id for notification in notifications}:
            if template_id is not None:
                self._templates.uses.note_use(TemplateKeyUse(template_id, caller.key_id, caller.service_id))

    def is_outdated(self, earlier: EarlierNotification) -> bool:
        """True if its idempotency key does not count any more."""
        return earlier.is_outdated(self._clock.now(), self._rules.key_lifetime)

    async def _replay(self, caller: Caller, idempotency: Idempotency) -> SubmissionResult | None:
        async with self._database.read() as connection:
            notifications = await find_earlier_notifications(connection, caller.service_id, [idempotency.key])
        earlier = next(iter(notifications.values()), None)
        if earlier is None or self.is_outdated(earlier):
            return None
        result = earlier.replayed(idempotency.request_hash)
        if not isinstance(result, SubmissionResult):
            raise result
        return result
