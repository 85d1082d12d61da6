"""The job `notify`: it submits one notification at each planned time of its schedule."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.db.engine import Database
from notifier.errors import Fault, NotFoundError
from notifier.feeds import revision_store
from notifier.feeds.revision_store import NoFeedDocumentError
from notifier.jobs.job_action import JobAction, JobFailedError, JobRunView, StepContext, StepResult
from notifier.reports.option_reader import OptionReader
from notifier.reports.scheduled_mail import SERVICE_OPTION, ScheduledMailer, move_faults, write_scheduled_mail
from notifier.states import JobKind, Priority
from notifier.submission.new_notification import NotificationRequest
from notifier.submission.request_validation import MAX_COPIES, check_locale, parse_address, parse_mailbox

MAX_SLUG_LENGTH = 64
MAX_TAGS, MAX_TAG_LENGTH = 10, 64
MAX_LOCALE_LENGTH = 35
MAX_MAILBOX_LENGTH = 998
FEED_OPTION = "feed"
"""The name of a feed of the schedule's owner: its newest values are variables, below those of the options."""
_OPTIONS = frozenset(
    {SERVICE_OPTION, FEED_OPTION, "to", "cc", "template", "variables", "locale", "from", "reply_to", "tags", "priority"}
)


class NotifyAction(JobAction):
    """Submits one notification, in one step."""

    kind = JobKind.NOTIFY

    def __init__(self, database: Database, mailer: ScheduledMailer) -> None:
        self._database = database
        self._mailer = mailer

    def find_option_faults(self, options: Mapping[str, Any], *, pointer: str) -> list[Fault]:
        """Find the faults that need no database."""
        return _read_request(options, pointer)[1]

    async def find_owner_faults(
        self, connection: AsyncConnection, service_id: UUID, options: Mapping[str, Any], *, pointer: str
    ) -> list[Fault]:
        """Find what a submit of the owner would be refused for: unknown template, wrong variables, sender."""
        caller, faults = await self._mailer.find_owner_faults(connection, service_id, options, pointer=pointer)
        if caller is None:
            return faults
        request, _ = _read_request(options, pointer)
        try:
            request = await _add_feed_values(connection, service_id, options, request)
        except NotFoundError as error:
            return [Fault(f"{pointer}/{FEED_OPTION}", "unknown_feed", str(error))]
        except NoFeedDocumentError:
            return []  # what its values will be is not known yet; the run is refused as a submit would be
        return move_faults(await self._mailer.find_faults(caller, request), pointer)

    async def prepare(self, run: JobRunView, context: StepContext) -> Any:  # noqa: ARG002
        """Validate the notification."""
        request, faults = _read_request({k: v for k, v in run.options.items() if k != "zone"}, "/options")
        if faults:
            raise JobFailedError("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
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


def _read_request(options: Mapping[str, Any], pointer: str) -> tuple[NotificationRequest, list[Fault]]:
    reader = OptionReader(options, _OPTIONS, pointer=pointer)
    reader.read_text(SERVICE_OPTION, max_length=64)
    reader.read_text(FEED_OPTION, max_length=64)
    priority = reader.read_choice("priority", tuple(Priority))
    request = NotificationRequest(
        to=reader.read_text("to", required=True),
        cc=reader.read_texts("cc", most=MAX_COPIES),
        template=reader.read_text("template", required=True, max_length=MAX_SLUG_LENGTH),
        variables=reader.read_object("variables"),
        locale=reader.read_text("locale", max_length=MAX_LOCALE_LENGTH),
        sender=reader.read_text("from", max_length=MAX_MAILBOX_LENGTH),
        reply_to=reader.read_text("reply_to", max_length=MAX_MAILBOX_LENGTH),
        tags=reader.read_texts("tags", most=MAX_TAGS, max_length=MAX_TAG_LENGTH),
        priority=Priority(priority) if priority is not None else None,
    )
    return request, [*reader.faults, *find_field_faults(request, pointer)]


def find_field_faults(request: NotificationRequest, pointer: str) -> list[Fault]:
    """Find the faults of addresses and of the language that need no database."""
    faults = list(check_locale(request.locale))
    named = [] if request.to is None else [("/to", request.to)]
    named += [(f"/cc/{index}", address) for index, address in enumerate(request.cc)]
    faults += [fault for place, text in named if isinstance(fault := parse_address(text, place), Fault)]
    for place, mailbox in (("/from", request.sender), ("/reply_to", request.reply_to)):
        faults += parse_mailbox(mailbox, place)[1] if mailbox is not None else []
    return move_faults(faults, pointer)
