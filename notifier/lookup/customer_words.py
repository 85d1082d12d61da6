"""What support may tell the recipient about a mail: two sentences without words of our trade."""

from collections.abc import Sequence
from datetime import datetime, tzinfo

from notifier.lookup.answer import describe_offset, find_situation, is_simulated
from notifier.lookup.answer_table import Situation, WaitSituation
from notifier.lookup.notification_view import NotificationView
from notifier.lookup.wait_explanation import WaitCause
from notifier.smtp.enhanced_codes import get_meaning
from notifier.states import Reason, Status, SuppressionReason

_OF_MAILBOX = frozenset({"1", "2"})
"""Subjects of enhanced codes that are about the address or its mailbox, so that the recipient can do something."""
_AGAIN = "If you still need it, please ask for it again."
_SPAM = "If you do not see it, please look into your spam folder."
_CHECK = "Please check the address, and tell us the right one."
_BLOCKED = (
    "We do not send mail to {address}{barred}. Please tell us whether the address is right and you want mail from us."
)
_DELAYED = "The mail to {address} is delayed on our side. It is sent as soon as possible, and you need not do anything."
_OUR_FAULT = f"The mail to {{address}} was not sent, because of a fault on our side. {_AGAIN}"
_STOPPED = f"The mail to {{address}} was stopped before it was sent. {_AGAIN}"
_LOST = (
    "We sent the mail to {address} {at}, but nobody confirmed that it arrived."
    " Please look into your inbox and your spam folder, and tell us whether it is there."
)
CUSTOMER_ROWS: dict[Situation, str] = {
    (Status.QUEUED, None): "The mail to {address} is about to be sent. Please look again in a few minutes.",
    (Status.QUEUED, WaitSituation.SCHEDULED): (
        "The mail to {address} will be sent {due}. Until then you need not do anything."
    ),
    (Status.QUEUED, WaitSituation.PAUSED): _DELAYED,
    (Status.QUEUED, WaitSituation.RELAY_AWAY): _DELAYED,
    (Status.QUEUED, WaitSituation.NO_SENDER): _DELAYED,
    (Status.QUEUED, Reason.SENDER_REFUSED): _DELAYED,
    (Status.QUEUED, Reason.TEMPLATE): _DELAYED,
    (Status.QUEUED, WaitSituation.WILL_BE_SUPPRESSED): _BLOCKED,
    (Status.QUEUED, WaitSituation.WILL_BE_REFUSED): _OUR_FAULT,
    (Status.QUEUED, WaitSituation.WILL_BE_CANCELLED): _STOPPED,
    (Status.DEFERRED, None): (
        "The mail to {address} could not be handed over yet{mailbox}. It is tried again {due}, so please look again"
        " after that."
    ),
    (Status.DEFERRED, Reason.SENDER_REFUSED): _DELAYED,
    (Status.DEFERRED, Reason.TEMPLATE): _DELAYED,
    (Status.DEFERRED, Reason.INTERNAL): _DELAYED,
    (Status.UNKNOWN, None): _LOST,
    (Status.SENT, None): f"The mail server accepted the mail to {{address}} {{at}}. {_SPAM}",
    (Status.SENT, Reason.RESOLVED): f"As far as we know, the mail to {{address}} has arrived. {_SPAM}",
    (Status.DELIVERED, None): f"The mail to {{address}} was delivered {{at}}. {_SPAM}",
    (Status.BOUNCED, None): f"The mail to {{address}} came back {{at}}{{mailbox}}. {_CHECK}",
    (Status.COMPLAINED, None): (
        "The mail to {address} arrived, and was marked as spam {at}. Please tell us whether you still want our mail."
    ),
    (Status.FAILED, None): _OUR_FAULT,
    (Status.FAILED, Reason.RECIPIENT_REFUSED): (
        f"The mail server told us {{at}} that {{address}} does not exist. {_CHECK}"
    ),
    (Status.FAILED, Reason.MESSAGE_REFUSED): f"The mail server did not accept the mail to {{address}}. {_AGAIN}",
    (Status.FAILED, Reason.EXHAUSTED): f"The mail to {{address}} could not be handed over in time{{mailbox}}. {_AGAIN}",
    (Status.FAILED, Reason.RESOLVED): f"The mail to {{address}} did not arrive. {_AGAIN}",
    (Status.EXPIRED, None): f"The mail to {{address}} could not be sent in time. {_AGAIN}",
    (Status.SUPPRESSED, None): _BLOCKED,
    (Status.CANCELLED, None): _STOPPED,
}
"""The words for each status and reason, or kind of wait. A pair without words has those of its status alone."""
TEST_WORDS = "This was only a test, so no mail was sent to {address}. You need not do anything."
_BARRED = {
    SuppressionReason.RECIPIENT_REFUSED: ", because its mail server once said that it does not exist",
    SuppressionReason.BOUNCED: ", because an earlier mail to it came back",
    SuppressionReason.COMPLAINED: ", because an earlier mail was marked as spam there",
    SuppressionReason.UNSUBSCRIBED: ", because somebody unsubscribed it",
    SuppressionReason.REQUESTED: ", because somebody asked us not to",
}


def build_customer_words(view: NotificationView, *, now: datetime, causes: Sequence[WaitCause], zone: tzinfo) -> str:
    """Build what support may tell the recipient. Times have their date and offset, because it may be read later."""
    status, what = find_situation(view, {cause.code for cause in causes}, now)
    words = CUSTOMER_ROWS.get((status, what)) or CUSTOMER_ROWS[status, None]
    fields = {
        "address": view.recipient,
        "at": _describe_moment((status is Status.UNKNOWN and view.uncertain_at) or view.updated_at, zone),
        "due": _describe_moment(view.due_at, zone) if view.due_at and view.due_at > now else "in a moment",
        "mailbox": _describe_mailbox(view),
        "barred": _describe_barrier(view),
    }
    return (TEST_WORDS if is_simulated(view) else words).format_map(fields)


def _describe_moment(moment: datetime, zone: tzinfo) -> str:
    """Write a time so that it is understood elsewhere and later: "on 4 December 2026 at 15:02 (UTC+1)"."""
    local = moment.astimezone(zone)
    return f"on {local.day} {local:%B %Y} at {local:%H:%M} ({describe_offset(local)})"


def _describe_mailbox(view: NotificationView) -> str:
    """What the last reply says about the mailbox; empty if it is about something else."""
    last = view.attempts[-1] if view.attempts else None
    if last is None or last.enhanced_code is None or last.enhanced_code.split(".")[1] not in _OF_MAILBOX:
        return ""
    meaning = get_meaning(last.code, last.enhanced_code)
    return f", because {meaning}" if meaning else ""


def _describe_barrier(view: NotificationView) -> str:
    reason = (view.detail or "").rpartition(": ")[2]
    return _BARRED[SuppressionReason(reason)] if reason in set(SuppressionReason) else ""
