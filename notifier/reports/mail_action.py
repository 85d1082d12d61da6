"""What the jobs that submit one mail have in common: the options of the mail, as a schedule gives them.

The mail is validated and written by `scheduled_mail`.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from notifier.db.engine import Database
from notifier.errors import Fault
from notifier.jobs.job_action import JobAction, JobFailedError, JobRunView
from notifier.reports.option_reader import OptionReader
from notifier.reports.scheduled_mail import SERVICE_OPTION, ScheduledMailer, move_faults
from notifier.submission.new_notification import NotificationRequest
from notifier.submission.request_validation import MAX_COPIES, check_locale, parse_address, parse_mailbox

MAIL_OPTIONS = frozenset({SERVICE_OPTION, "to", "cc", "template", "locale", "from", "reply_to"})
MAX_SLUG_LENGTH = 64
MAX_LOCALE_LENGTH = 35
MAX_MAILBOX_LENGTH = 998


class MailAction(JobAction):
    """Submits one mail in the last step of its run."""

    def __init__(self, database: Database, mailer: ScheduledMailer) -> None:
        self._database = database
        self._mailer = mailer

    @abstractmethod
    def read_request(self, options: Mapping[str, Any], pointer: str) -> tuple[NotificationRequest, list[Fault]]:
        """Read the request of the mail from the options, and the faults that need no database."""

    def find_option_faults(self, options: Mapping[str, Any], *, pointer: str) -> list[Fault]:
        """Find the faults that need no database."""
        return self.read_request(options, pointer)[1]

    def read_run_request(self, run: JobRunView) -> NotificationRequest:
        """Read the request of a run. Raises `JobFailedError` if its options have faults by today's rules."""
        options = {name: value for name, value in run.options.items() if name != "zone"}
        request, faults = self.read_request(options, "/options")
        if faults:
            raise JobFailedError("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        return request


def read_mail_options(reader: OptionReader, *, needs_template: bool) -> NotificationRequest:
    """Read the `MAIL_OPTIONS`."""
    reader.read_text(SERVICE_OPTION, max_length=64)
    return NotificationRequest(
        to=reader.read_text("to", required=True),
        cc=reader.read_texts("cc", most=MAX_COPIES),
        template=reader.read_text("template", required=needs_template, max_length=MAX_SLUG_LENGTH),
        locale=reader.read_text("locale", max_length=MAX_LOCALE_LENGTH),
        sender=reader.read_text("from", max_length=MAX_MAILBOX_LENGTH),
        reply_to=reader.read_text("reply_to", max_length=MAX_MAILBOX_LENGTH),
    )


def find_mail_faults(request: NotificationRequest, pointer: str) -> list[Fault]:
    """Find the faults of addresses and of the language that need no database."""
    faults = list(check_locale(request.locale))
    named = [] if request.to is None else [("/to", request.to)]
    named += [(f"/cc/{index}", address) for index, address in enumerate(request.cc)]
    faults += [fault for place, text in named if isinstance(fault := parse_address(text, place), Fault)]
    for place, mailbox in (("/from", request.sender), ("/reply_to", request.reply_to)):
        faults += parse_mailbox(mailbox, place)[1] if mailbox is not None else []
    return move_faults(faults, pointer)
