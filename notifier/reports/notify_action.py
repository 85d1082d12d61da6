"""The job `notify`: it submits one notification at each planned time of its schedule."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import Fault, NotFoundError
from notifier.feeds import revision_store
from notifier.feeds.revision_store import NoFeedDocumentError
from notifier.jobs.job_action import JobFailedError, JobRunView, StepContext, StepResult
from notifier.reports.mail_action import MAIL_OPTIONS, MailAction, find_mail_faults, read_mail_options
from notifier.reports.option_reader import OptionReader
from notifier.reports.scheduled_mail import move_faults, write_scheduled_mail
from notifier.states import JobKind, Priority
from notifier.submission.new_notification import NotificationRequest

MAX_TAGS, MAX_TAG_LENGTH = 10, 64
FEED_OPTION = "feed"
"""The name of a feed of the schedule's owner: its newest values are variables, below those of the options."""
_OPTIONS = MAIL_OPTIONS | {FEED_OPTION, "variables", "tags", "priority"}


class NotifyAction(MailAction):
    """Submits one notification, in one step."""

    kind = JobKind.NOTIFY

    def read_request(self, options: Mapping[str, Any], pointer: str) -> tuple[NotificationRequest, list[Fault]]:
        """Read the request of the mail from the options, and the faults that need no database."""
        reader = OptionReader(options, _OPTIONS, pointer=pointer)
        reader.read_text(FEED_OPTION, max_length=64)
        priority = reader.read_choice("priority", tuple(Priority))
        request = replace(
            read_mail_options(reader, needs_template=True),
            variables=reader.read_object("variables"),
            tags=reader.read_texts("tags", most=MAX_TAGS, max_length=MAX_TAG_LENGTH),
            priority=Priority(priority) if priority is not None else None,
        )
        return request, [*reader.faults, *find_mail_faults(request, pointer)]

    async def find_owner_faults(
        self, connection: AsyncConnection, service_id: UUID, options: Mapping[str, Any], *, pointer: str
    ) -> list[Fault]:
        """Find what a submit of the owner would be refused for: unknown template, wrong variables, sender."""
        caller, faults = await self._mailer.find_owner_faults(connection, service_id, options, pointer=pointer)
        if caller is None:
            return faults
        request, _ = self.read_request(options, pointer)
        try:
            request = await _add_feed_values(connection, service_id, options, request)
        except NotFoundError as error:
            return [Fault(f"{pointer}/{FEED_OPTION}", "unknown_feed", str(error))]
        except NoFeedDocumentError:
            return []  # what its values will be is not known yet; the run is refused as a submit would be
        return move_faults(await self._mailer.find_faults(caller, request), pointer)

    async def prepare(self, run: JobRunView, context: StepContext) -> Any:  # noqa: ARG002
        """Validate the notification."""
        request = self.read_run_request(run)
        try:
            async with self._database.read() as connection:
                request = await _add_feed_values(connection, run.service_id, run.options, request)
        except (NotFoundError, NoFeedDocumentError) as error:
            raise JobFailedError(str(error)) from error
        return await self._mailer.prepare_mail(run, await self._mailer.load_caller(run), request)

    async def apply(
        self,
        connection: AsyncConnection,
        run: JobRunView,  # noqa: ARG002
        prepared: Any,
        context: StepContext,  # noqa: ARG002
    ) -> StepResult:
        """Write it in the transaction of the step."""
        return await write_scheduled_mail(connection, prepared)


async def _add_feed_values(
    connection: AsyncConnection, service_id: UUID, options: Mapping[str, Any], request: NotificationRequest
) -> NotificationRequest:
    """Add the newest values of the feed to the variables. Raises `NotFoundError`, `NoFeedDocumentError`."""
    name = options.get(FEED_OPTION)
    if not isinstance(name, str):
        return request
    values = await revision_store.get_feed_values(connection, service_id, name)
    return replace(request, variables={**values, **(request.variables or {})})
