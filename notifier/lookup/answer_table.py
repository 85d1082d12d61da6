"""The table of answers to "did the mail arrive?": one for each status and reason, and for each kind of wait.

docs/states.md has the same table; a test compares.
"""

from dataclasses import dataclass
from enum import StrEnum

from notifier.states import Reason, Status


class AnswerKind(StrEnum):
    """Whether the mail arrived."""

    YES = "yes"
    PROBABLY = "probably"
    NOT_YET = "not_yet"
    NO = "no"
    NOBODY_KNOWS = "nobody_knows"


class AnswerAction(StrEnum):
    """What a person can do about a mail: the name of the operation."""

    CANCEL = "cancel"
    UPDATE = "update"
    RETRY = "retry"
    RESOLVE = "resolve"
    LIFT = "lift"


class WaitSituation(StrEnum):
    """What a waiting mail waits for, if its status and reason do not tell."""

    SCHEDULED = "scheduled"
    IN_HAND = "in hand"
    PAUSED = "paused"
    RELAY_AWAY = "relay out of reach"
    NO_SENDER = "no sender runs"
    HELD = "held"
    CLOSED = "closed"
    WILL_BE_SUPPRESSED = "address suppressed"
    WILL_BE_REFUSED = "address not allowed"
    WILL_BE_CANCELLED = "batch cancelled"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer for one mail. Texts of the table may name `{fields}`, which `build_answer` fills in."""

    kind: AnswerKind
    sentence: str
    next_step: str
    actions: tuple[AnswerAction, ...] = ()


_YES, _PROBABLY, _NOT_YET = AnswerKind.YES, AnswerKind.PROBABLY, AnswerKind.NOT_YET
_NO, _NOBODY_KNOWS = AnswerKind.NO, AnswerKind.NOBODY_KNOWS
_NOTHING = "Nothing needs to be done."
_WAIT = "Wait, or stop it."
_ASK = "Ask the recipient. Then say that it arrived, that it did not, or send it again: it may arrive twice."
_SUBMIT_AGAIN = "ask the service to submit it again as a new mail"
_NEW = f"{_SUBMIT_AGAIN.capitalize()}."
_RETRY = "Send it again."
_TELL_OPERATOR = "Tell the operator, who looks into the log."
Situation = tuple[Status, Reason | WaitSituation | None]


def _waiting(sentence: str, next_step: str = _WAIT) -> Answer:
    return Answer(kind=_NOT_YET, sentence=sentence, next_step=next_step)


def _failed(sentence: str, next_step: str, *actions: AnswerAction) -> Answer:
    return Answer(kind=_NO, sentence=sentence, next_step=next_step, actions=actions)


def _uncertain(sentence: str, next_step: str = _ASK) -> Answer:
    return Answer(kind=_NOBODY_KNOWS, sentence=sentence, next_step=next_step)


_SENDER_REFUSED = "The mail server does not send for our address. Next try {due}, until {until}."
_TEMPLATE_SLOW = "Its template takes too long, so it waits. Next try {due}, until {until}."
_MEND_SENDER = "Tell the operator: the mail server must allow the sender's address."
ANSWER_ROWS: dict[Situation, Answer] = {
    (Status.QUEUED, None): _waiting("It waits to be sent{ahead}."),
    (Status.QUEUED, WaitSituation.SCHEDULED): _waiting("It will be sent {due}.", "Wait, stop it, or change the time."),
    (Status.QUEUED, WaitSituation.IN_HAND): _waiting("It is being sent at this moment.", "Look again in a minute."),
    (Status.QUEUED, WaitSituation.PAUSED): _waiting(
        "Its mail merge is paused, until somebody resumes it.", "Resume the merge, or stop this mail."
    ),
    (Status.QUEUED, WaitSituation.RELAY_AWAY): _waiting(
        "Our mail server is out of reach. It is sent as soon as the server is back, until {until}.",
        "Tell the operator, if nobody knows it yet.",
    ),
    (Status.QUEUED, WaitSituation.NO_SENDER): _waiting(
        "No sender is running, so no mail leaves.", "Tell the operator to start one: notifier sender."
    ),
    (Status.QUEUED, WaitSituation.WILL_BE_SUPPRESSED): _failed(
        "It will not be sent: {address} must not be mailed.",
        "Ask whether the address is right and mail is wanted. If so: lift the suppression before this mail is due.",
        AnswerAction.LIFT,
    ),
    (Status.QUEUED, WaitSituation.WILL_BE_REFUSED): _failed(
        "It will not be sent: this installation may not mail {address}.",
        "If it should: ask the operator to allow the address.",
    ),
    (Status.QUEUED, WaitSituation.WILL_BE_CANCELLED): _failed("It will not be sent: its batch was cancelled.", _NEW),
    (Status.QUEUED, Reason.SENDER_REFUSED): _waiting(_SENDER_REFUSED, _MEND_SENDER),
    (Status.QUEUED, Reason.TEMPLATE): _waiting(_TEMPLATE_SLOW, "Tell those who edit the template, or wait."),
    (Status.DEFERRED, None): _waiting("The first try failed. Next try {due}, until {until}."),
    (Status.DEFERRED, WaitSituation.IN_HAND): _waiting("It is being tried again at this moment.", "Look again soon."),
    (Status.DEFERRED, Reason.TEMPORARY_REFUSAL): _waiting(
        "The mail server asked us to try again later{meaning}. Next try {due}, until {until}."
    ),
    (Status.DEFERRED, Reason.CONNECTION_LOST): _waiting(
        "The connection broke before the mail was handed over. Next try {due}, until {until}."
    ),
    (Status.DEFERRED, Reason.SENDER_REFUSED): _waiting(_SENDER_REFUSED, _MEND_SENDER),
    (Status.DEFERRED, Reason.TEMPLATE): _waiting(_TEMPLATE_SLOW, "Tell those who edit the template, or wait."),
    (Status.DEFERRED, Reason.INTERNAL): _waiting(
        "A fault of our own stopped the try. Next try {due}, until {until}.", _TELL_OPERATOR
    ),
    (Status.UNKNOWN, None): _uncertain(
        "The connection broke after we had handed the mail over. It may have arrived. It is sent once more {due}.",
        "Wait; it may arrive twice. Or ask the recipient, and decide.",
    ),
    (Status.UNKNOWN, WaitSituation.IN_HAND): _uncertain(
        "It may have arrived, and is being sent once more at this moment.", "Look again in a minute."
    ),
    (Status.UNKNOWN, WaitSituation.HELD): _uncertain(
        "The connection broke after we had handed the mail over. It may have arrived. It waits for a decision"
        " until {until}."
    ),
    (Status.UNKNOWN, WaitSituation.CLOSED): _uncertain(
        "The connection broke after we had handed the mail over. It may have arrived, and nobody decided in time."
    ),
    (Status.UNKNOWN, Reason.INTERNAL): _uncertain(
        "The mail may have arrived, but its result could not be written down. It waits for a decision until {until}."
    ),
    (Status.UNKNOWN, Reason.SENDER_DIED): _uncertain(
        "The sender stopped while it handed the mail over. It may have arrived. It waits for a decision until {until}."
    ),
    (Status.SENT, None): Answer(
        kind=_PROBABLY,
        sentence="The mail server accepted it {at}.",
        next_step="If the recipient does not see it: look into the spam folder.",
    ),
    (Status.SENT, Reason.RESOLVED): Answer(
        kind=_PROBABLY, sentence="A person decided {at} that it had arrived.", next_step=_NOTHING
    ),
    (Status.DELIVERED, None): Answer(kind=_YES, sentence="It was delivered {at}.", next_step=_NOTHING),
    (Status.BOUNCED, None): _failed(
        "It came back {at}{meaning}.", "Ask for the right address. Then ask the service to submit it to that address."
    ),
    (Status.COMPLAINED, None): Answer(
        kind=_YES,
        sentence="It arrived, and the recipient marked it as spam {at}.",
        next_step="Do not send it again. Ask the recipient whether mail is still wanted.",
    ),
    (Status.FAILED, None): _failed("It was not sent.", _RETRY),
    (Status.FAILED, Reason.RECIPIENT_REFUSED): _failed(
        "The mail server says that {address} does not exist.",
        "Ask whether the address is right. If it is: lift the suppression, then send it again.",
        AnswerAction.LIFT,
    ),
    (Status.FAILED, Reason.REDIRECT_REFUSED): _failed(
        "This installation redirects all mail, and the redirect address was refused.",
        "Tell the operator: the redirect address must be mended. Then send it again.",
    ),
    (Status.FAILED, Reason.MESSAGE_REFUSED): _failed(
        "The mail server does not want this mail{meaning}.",
        "Tell the operator what the server said. When the cause is mended, send it again.",
    ),
    (Status.FAILED, Reason.SENDER_REFUSED): _failed(
        "The mail server never sent for our address, until the time ran out.", f"{_MEND_SENDER} Then send it again."
    ),
    (Status.FAILED, Reason.EXHAUSTED): _failed(
        "Every try failed until the time ran out{meaning}.", "Send it again, if it is still of use."
    ),
    (Status.FAILED, Reason.TEMPLATE): _failed(
        "The template could not be filled: {detail}",
        "The mail keeps its version of the template. Mend the template, and ask the service to submit it again.",
    ),
    (Status.FAILED, Reason.INTERNAL): _failed("A fault of our own stopped it three times.", _TELL_OPERATOR),
    (Status.FAILED, Reason.MESSAGE_TOO_LARGE): _failed(
        "The mail is too large for the mail server.", "Ask the service to submit it with smaller attachments."
    ),
    (Status.FAILED, Reason.RECIPIENT_NOT_ALLOWED): _failed(
        "This installation may not mail {address}.",
        "If it should: ask the operator to allow the address, then send it again.",
    ),
    (Status.FAILED, Reason.POISON): _failed("It stopped several senders, so it is not tried any more.", _TELL_OPERATOR),
    (Status.FAILED, Reason.RESOLVED): _failed("A person decided {at} that it had not arrived.", _RETRY),
    (Status.EXPIRED, Reason.EXPIRED): _failed(
        "Its time ran out: it was worth sending until {until}.", "Send it again, if it is still of use."
    ),
    (Status.SUPPRESSED, Reason.RECIPIENT_SUPPRESSED): _failed(
        "{address} must not be mailed: {barred}.",
        f"Ask whether the address is right and mail is wanted. If so: lift the suppression. {_NEW}",
        AnswerAction.LIFT,
    ),
    (Status.CANCELLED, None): _failed(
        "It was stopped {at}.", f"If it is wanted after all: {_NEW[0].lower()}{_NEW[1:]}"
    ),
}
"""An answer for each status and reason that occurs, and for each kind of wait."""
TEST_MAIL = Answer(
    kind=_NO,
    sentence="It was submitted with a test key: no mail server was asked. The simulated result: {status}.",
    next_step="Nothing. To reach the recipient, submit it with a live key.",
)
"""The answer for mail of a test key, after its end."""
LABELS = {
    _YES: "Yes",
    _PROBABLY: "Probably",
    _NOT_YET: "Not yet",
    _NO: "No",
    _NOBODY_KNOWS: "Nobody can know",
}
"""How a person reads an answer."""


def find_answer(status: Status, what: Reason | WaitSituation | None) -> Answer:
    """Find the answer for a status with a reason or a kind of wait; a pair that does not occur has the status's."""
    for situation in ((status, what), (status, None), (status, Reason.EXPIRED), (status, Reason.RECIPIENT_SUPPRESSED)):
        if situation in ANSWER_ROWS:
            return ANSWER_ROWS[situation]
    raise KeyError(status)
