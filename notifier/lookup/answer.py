"""Build the answer to "did the mail arrive?" for one notification: yes, probably, not yet, no, or nobody can know.

The API, the command line and the console show this answer.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from notifier.lookup.answer_table import TEST_MAIL, Answer, AnswerAction, Situation, WaitSituation, find_answer
from notifier.lookup.notification_view import NotificationView
from notifier.lookup.wait_explanation import Because, WaitCause
from notifier.smtp.enhanced_codes import get_meaning, parse_reply_meaning
from notifier.states import (
    CANCELLABLE_STATUSES,
    RETRYABLE_STATUSES,
    EntryState,
    KeyKind,
    Reason,
    Status,
    SuppressionReason,
)

_BARRED = {
    SuppressionReason.RECIPIENT_REFUSED: "a mail server said that the address does not exist",
    SuppressionReason.BOUNCED: "a mail came back",
    SuppressionReason.COMPLAINED: "the recipient marked a mail as spam",
    SuppressionReason.UNSUBSCRIBED: "the recipient unsubscribed",
    SuppressionReason.REQUESTED: "somebody asked for it",
}
_SITUATION_OF_CAUSE = {
    Because.BATCH_CANCELLED: WaitSituation.WILL_BE_CANCELLED,
    Because.SUPPRESSED: WaitSituation.WILL_BE_SUPPRESSED,
    Because.RECIPIENTS_MODE: WaitSituation.WILL_BE_REFUSED,
    Because.BATCH_PAUSED: WaitSituation.PAUSED,
    Because.NO_SENDER: WaitSituation.NO_SENDER,
    Because.CIRCUIT_OPEN: WaitSituation.RELAY_AWAY,
}
"""Causes that say more than the status; the first that holds counts."""
_OF_NOW = frozenset({Because.NO_SENDER, Because.CIRCUIT_OPEN})
"""Causes that do not matter to a mail that is scheduled for later."""
_SIMULATED = frozenset({Status.SENT, Status.DELIVERED, Status.BOUNCED, Status.COMPLAINED})
_SIMULATED_REASONS = frozenset({Reason.RECIPIENT_REFUSED, Reason.MESSAGE_REFUSED, Reason.EXHAUSTED})


def build_answer(
    view: NotificationView, *, now: datetime, causes: Sequence[WaitCause] = (), zone: tzinfo = UTC
) -> Answer:
    """Build the answer for a notification, with times in `zone`. `causes`: see `explain_notification`; may be empty."""
    situation = find_situation(view, {cause.code for cause in causes}, now)
    row = TEST_MAIL if is_simulated(view) else find_answer(*situation)
    fields = _list_fields(view, causes, now, zone)
    actions = [*row.actions, *_list_actions(view, situation[1])]
    return Answer(
        kind=row.kind,
        sentence=row.sentence.format_map(fields),
        next_step=row.next_step.format_map(fields),
        actions=tuple(dict.fromkeys(actions)),
    )


def is_simulated(view: NotificationView) -> bool:
    """True if a test key's mail has ended as if a mail server had been asked."""
    return view.kind is KeyKind.TEST and (view.status in _SIMULATED or view.reason in _SIMULATED_REASONS)


def find_situation(view: NotificationView, codes: Collection[Because], now: datetime) -> Situation:
    """Find which row of the tables holds for a notification. `codes`: of what it waits for."""
    if view.status is Status.UNKNOWN:
        return view.status, _find_unknown_situation(view)
    if view.status not in CANCELLABLE_STATUSES:
        return view.status, view.reason
    if view.entry_state is EntryState.LEASED:
        return view.status, WaitSituation.IN_HAND
    is_scheduled = view.status is Status.QUEUED and view.reason is None and view.send_at > now
    for cause, situation in _SITUATION_OF_CAUSE.items():
        if cause in codes and not (is_scheduled and cause in _OF_NOW):
            return Status.QUEUED, situation
    return view.status, WaitSituation.SCHEDULED if is_scheduled else view.reason


def _find_unknown_situation(view: NotificationView) -> Reason | WaitSituation | None:
    if view.entry_state is EntryState.HELD:
        return view.reason if view.reason in (Reason.INTERNAL, Reason.SENDER_DIED) else WaitSituation.HELD
    return {EntryState.LEASED: WaitSituation.IN_HAND, None: WaitSituation.CLOSED}.get(view.entry_state)


def _list_fields(view: NotificationView, causes: Sequence[WaitCause], now: datetime, zone: tzinfo) -> dict[str, str]:
    return {
        "address": view.recipient,
        "at": _describe_moment(view.updated_at, now, zone),
        "due": _describe_moment(view.due_at, now, zone) if view.due_at and view.due_at > now else "in a moment",
        "until": describe_time(view.expires_at, now, zone),
        "status": view.status.value,
        "detail": (view.detail or "no details").rstrip("."),
        "meaning": _describe_meaning(view),
        "barred": _describe_barrier(view),
        "ahead": _describe_queue(causes),
    }


def _describe_meaning(view: NotificationView) -> str:
    """What the server's last refusal means, as the end of a sentence; without a meaning, its own words."""
    last = view.attempts[-1] if view.attempts else None
    meaning = get_meaning(last.code, last.enhanced_code) if last else None
    meaning = meaning or parse_reply_meaning(view.detail or "")
    if meaning:
        return f": {meaning}"
    return f'. It said: "{view.detail}"' if view.detail else ""


def _describe_barrier(view: NotificationView) -> str:
    reason = (view.detail or "").rpartition(": ")[2]
    return _BARRED[SuppressionReason(reason)] if reason in set(SuppressionReason) else "the address is suppressed"


def _describe_queue(causes: Sequence[WaitCause]) -> str:
    return next((f": {cause.detail}" for cause in causes if cause.code is Because.QUEUE), "")


def _list_actions(view: NotificationView, what: Reason | WaitSituation | None) -> list[AnswerAction]:
    if view.status in CANCELLABLE_STATUSES:
        is_changeable = what is WaitSituation.SCHEDULED and view.parent_id is None and not view.attempts
        return [AnswerAction.CANCEL, *([AnswerAction.UPDATE] if is_changeable else [])]
    if view.status is Status.UNKNOWN:
        return [AnswerAction.RESOLVE]
    return [AnswerAction.RETRY] if view.status in RETRYABLE_STATUSES else []


def _describe_moment(time: datetime, now: datetime, zone: tzinfo) -> str:
    text = describe_time(time, now, zone)
    return text if text.startswith(("today", "tomorrow", "yesterday")) else f"on {text}"


def describe_time(time: datetime, now: datetime, zone: tzinfo) -> str:
    """Write a time as people say it: "today at 14:02", "Fri 5 Dec at 14:02"."""
    local, today = time.astimezone(zone), now.astimezone(zone).date()
    clock = f"{local:%H:%M}{' UTC' if zone is UTC else ''}"
    days = (local.date() - today).days
    name = {0: "today", 1: "tomorrow", -1: "yesterday"}.get(days)
    if name is not None:
        return f"{name} at {clock}"
    year = f" {local:%Y}" if local.year != today.year else ""
    return f"{local:%a} {local.day} {local:%b}{year} at {clock}"


def describe_offset(local: datetime) -> str:
    """Write how far a time is from UTC: "UTC+1", "UTC-3:30", "UTC"."""
    minutes = int((local.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "") if minutes else "UTC"
