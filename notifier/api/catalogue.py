"""Every code that a caller can be answered with: what it means and what to do; pages and documentation are made of it.

A test finds any code that the package answers with and that is not in here.
"""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One code, explained."""

    status: int
    title: str
    meaning: str
    remedy: str
    operations: frozenset[str] = frozenset()  # operation ids; of a 409: who answers it


_REPEAT = "Repeat the request after `Retry-After`, with the same `Idempotency-Key` if it had one."
_LOOK = "Look with `GET` at how it stands; `detail` says so too."
_SUBMITS = "submit_notification submit_batch"


def _entry(status: int, title: str, meaning: str, remedy: str, operations: str = "") -> Entry:
    return Entry(status=status, title=title, meaning=meaning, remedy=remedy, operations=frozenset(operations.split()))


def _fault(meaning: str, remedy: str) -> Entry:
    return _entry(422, "The request has faults", meaning, remedy)


_PROBLEMS = {
    "malformed_json": _entry(
        400, "Not valid JSON", "The body is no JSON that everyone reads alike.",
        "Send strict JSON in UTF-8: no key twice, no NaN, no NUL, no lone surrogate.",
    ),
    "malformed_encoding": _entry(
        400, "The request cannot be understood", "The body is not what its `Content-Encoding` says.",
        "Send all of the gzip data and nothing behind it, or the body as it is without `Content-Encoding`.",
    ),
    "invalid_idempotency_key": _entry(
        400, "The request cannot be understood",
        "The Idempotency-Key is too long, empty, not printable ASCII, or has a quote that is not closed.",
        "Send 1 to 255 printable ASCII characters (251 for a batch), such as a UUID; with quotes around it or without.",
    ),
    "disconnected": _entry(
        400, "The request ended too soon", "The connection was closed before the whole body had come.",
        "Send it again, and all of it.",
    ),
    "unauthenticated": _entry(
        401, "No valid API key", "The request has no API key, or one that is unknown, revoked or expired.",
        "Send `Authorization: Bearer ntf_live_…` with a key of your service.",
    ),
    "insufficient_scope": _entry(
        403, "The API key may not do this", "The key is valid and lacks the scope that `detail` names.",
        "Use a key with that scope, or ask the operator for one.",
    ),
    "not_yours": _entry(403, "Not yours to change", "It is the instance's, not your service's.", "Ask the operator."),
    "key_kind_not_allowed": _entry(
        403, "A key of this kind may not do this", "What live mail and stronger keys depend on is not for this key.",
        "Use a live key, or ask the operator.",
    ),
    "not_found": _entry(
        404, "Not found", "There is no such thing, or it belongs to another service.",
        "Check the path and the id, and that the key is of the service that made it.",
    ),
    "method_not_allowed": _entry(
        405, "Method Not Allowed", "The path exists, but not with this method.", "Use a method that `Allow` names.",
    ),
    "idempotency_in_progress": _entry(
        409, "Still being written", "A request with this Idempotency-Key is being written at this moment.",
        _REPEAT, _SUBMITS,
    ),
    "already_under_way": _entry(
        409, "The mail is, or may be, on its way", "The mail is being handed over to a relay, or may have been.",
        "Wait until it has ended. " + _LOOK,
        "cancel_notification update_notification resolve_notification",
    ),
    "already_ended": _entry(
        409, "The notification has ended", "It has been sent, has failed, or has ended otherwise.",
        _LOOK + " What failed or expired can be retried.", "cancel_notification update_notification",
    ),
    "already_attempted": _entry(
        409, "It has been tried already", "A relay may know this mail, and every try must have the same bytes.",
        "Cancel it and submit another.", "update_notification",
    ),
    "is_a_copy": _entry(
        409, "This is a copy", "A copy (Cc or Bcc) changes with the notification that it is a copy of.",
        "Change the one that `parent_id` names.", "update_notification",
    ),
    "not_retryable": _entry(
        409, "Neither failed nor expired", "Only what has failed or expired can be sent again.",
        _LOOK, "retry_notification",
    ),
    "batch_cancelled": _entry(
        409, "Its batch was cancelled", "Nothing of a cancelled batch is sent, nor sent again.", "Submit it anew.",
        "retry_notification resolve_notification",
    ),
    "not_unknown": _entry(
        409, "Not unknown", "There is nothing to decide: the status is not `unknown`.", _LOOK, "resolve_notification",
    ),
    "unrenderable": _entry(
        409, "The mail cannot be made", "Its template fails with its variables, or its content was deleted.",
        "Publish a template that works, then submit it anew; `detail` says what is wrong.",
        "get_notification_content",
    ),
    "endpoint_disabled": _entry(
        409, "The endpoint is disabled", "Nothing is sent to a disabled webhook endpoint.", "Enable it first.",
        "test_webhook replay_webhook_delivery replay_failed_webhook_deliveries",
    ),
    "too_many_endpoints": _entry(
        409, "Too many endpoints", "The service has as many webhook endpoints as it may have.", "Delete one first.",
        "create_webhook",
    ),
    "stale_asset": _entry(
        409, "Somebody else was faster", "The image was uploaded or deleted since you looked.",
        "Look with `GET` at how it stands, and name its `revision` (0: there is none) if you still want yours.",
        "upload_asset",
    ),
    "asset_not_ready": _entry(
        409, "The image is not ready", "It is still worked at, or it has failed; `detail` says why.",
        "Wait until its `status` is `ready`, or upload one that can be used.", "get_asset_file",
    ),
    "too_many_templates": _entry(
        409, "Too many templates, layouts or images", "There are as many as an instance keeps.",
        "Delete one that nobody uses, or ask the operator.", "save_template_draft save_layout upload_asset",
    ),
    "too_many_keys": _entry(
        409, "Too many API keys", "The service has as many valid keys as it may have.",
        "Revoke one that nobody uses, or rotate without overlap.", "create_key rotate_key",
    ),
    "key_ended": _entry(
        409, "The API key has ended", "It was revoked, or has expired.", "Make a new one.", "rotate_key",
    ),
    "key_replaced": _entry(
        409, "The API key has been rotated already", "Another key has taken its place.",
        "Use that one, or rotate it.", "rotate_key",
    ),
    "stale_draft": _entry(
        409, "Somebody else was faster", "The draft or the template has changed since what `seen` names.",
        "`theirs` and `yours` are both sides, `diff` leads from theirs to yours: merge, and say the `seen` of theirs.",
        "save_template_draft discard_template_draft publish_template restore_template",
    ),
    "template_deleted": _entry(
        409, "The template is deleted", "A deleted template is not edited.", "Restore it first.",
        "save_template_draft discard_template_draft publish_template restore_template",
    ),
    "nothing_to_publish": _entry(
        409, "Nothing to publish", "The text, with its layouts, is that of the current version.",
        "Change something, or discard the draft.", "publish_template restore_template",
    ),
    "gate_closed": _entry(
        409, "Callers would break",
        "What callers really ask for would be refused, or could not be made into mail; `report` says whose, and why.",
        "Make the new variables optional, or talk to those callers; an admin key may publish with `force_reason`.",
        "publish_template restore_template",
    ),
    "stale_layout": _entry(
        409, "Somebody else was faster", "The layout has changed since this `revision`.",
        "`theirs` and `yours` are both sides, `diff` leads from theirs to yours: merge, and say the new `revision`.",
        "save_layout delete_layout",
    ),
    "layout_in_use": _entry(
        409, "The layout is in use", "Templates use it, and could not be published without it.",
        "Change those templates first; `detail` names them.", "delete_layout",
    ),
    "request_timeout": _entry(
        408, "The request came too slowly", "The header fields or the body were not sent in time.", _REPEAT),
    "request_too_large": _entry(
        413, "The request cannot be understood", "The body is larger than `detail` says.",
        "Send less at once: a smaller batch, smaller attachments.",
    ),
    "unsupported_media_type": _entry(
        415, "The request cannot be understood",
        "The body does not claim to be JSON in UTF-8, or is compressed by something else than gzip.",
        "Send `Content-Type: application/json`, and either gzip or no `Content-Encoding`.",
    ),
    "idempotency_key_reused": _entry(
        422, "Idempotency-Key used for another request", "The key came before with another body; nothing was written.",
        "Use a new key for each new request, and the same body whenever you repeat one.",
    ),
    "invalid_request": _entry(
        422, "The request has faults", "It has faults of more than one kind; `errors` lists all, each with a pointer.",
        "Mend what `errors` says; repeating the request as it is does not help.",
    ),
    "rate_limited": _entry(
        429, "Too many requests", "The service has asked more often than its limit allows.",
        "Wait as long as `Retry-After` says. Send many notifications as a batch.",
    ),
    "too_many_streams": _entry(
        429, "Too many event streams", "This key, or all keys together, have as many open as they may have.",
        "Close one, ask again after `Retry-After`, or ask for the state itself with `GET`."),
    "too_much_refused": _entry(
        429, "Too much was refused",
        "Templates that this key tried before were refused again and again, or took very long; nothing was tried now.",
        "Wait as long as `Retry-After` says.",
    ),
    "internal_error": _entry(
        500, "Something went wrong on our side", "A fault of the server; it has been logged with the request id.",
        "Repeat it with the same `Idempotency-Key`. If it stays, give the operator the `request_id`.",
    ),
    "database_unavailable": _entry(
        503, "Not accepted, or not confirmed; try again",
        "The database is out of reach or overloaded. Rarely, the request was carried out and only its reply was lost.",
        _REPEAT,
    ),
    "too_many_connections": _entry(
        503, "Too many connections", "As many are open as the server can keep.", _REPEAT + " Use fewer."),
    "queue_too_long": _entry(
        503, "It would expire in the queue",
        "So much is due before it that it would expire before a sender comes to it; nothing was written.",
        "Repeat it after `Retry-After` if it is still worth sending then, give it more time, or a higher priority.",
    ),
    "http_error": _entry(
        400, "Another HTTP error", "The request could not be dealt with; `status` and `detail` say why.",
        "Mend the request as `detail` says.",
    ),
}  # fmt: skip
_FAULTS = {
    "asset_rejected": _fault(
        "An image has a bad name, base64 or size.", "`detail` says what is wrong; 10 MiB is the most."
    ),
    "attachment_rejected": _fault(
        "An attachment has a bad name, base64, type or size.", "`detail` says what is wrong; 10 MiB is the most."
    ),
    "duplicate_recipient": _fault("This address gets the mail already.", "Name each address once in to, cc and bcc."),
    "from_not_allowed": _fault(
        "The service may not send from this address.", "Use one of its domains, or ask the operator to add yours."
    ),
    "header_not_allowed": _fault(
        "This header cannot be set.", "Leave it out, or have an `X-…` name put into `NOTIFIER_API__ALLOWED_HEADERS`."
    ),
    "invalid_address": _fault(
        "This is not exactly one mail address.", "Send one bare address, such as ada@example.com."
    ),
    "invalid_header_value": _fault(
        "The value cannot stand in a mail header.",
        "Send one line of at most 900 characters; `List-Unsubscribe-Post` together with `List-Unsubscribe`.",
    ),
    "invalid_link": _fault(
        "The template makes this variable a link or an image, and nobody could follow it.",
        "Send a whole address with one of the schemes that `detail` names.",
    ),
    "invalid_locale": _fault("This is not a language tag.", "Send a tag such as en or fr-CA (BCP 47)."),
    "invalid_parameter": _fault(
        "A parameter in the query is wrong or unknown.", "`errors` says which, and what it may be."
    ),
    "invalid_type": _fault("The value has the wrong type or form.", "Send what the documentation says for this field."),
    "invalid_url": _fault("This URL cannot be called.", "Send an https URL of a public host."),
    "missing_body": _fault("The body is empty.", "Send a JSON object."),
    "missing_field": _fault("A required field is missing.", "Send it."),
    "missing_variable": _fault("The template needs this variable.", "Send it in `variables`."),
    "naive_time": _fault("The time has no offset.", "Send one such as 2026-01-31T12:00:00Z or …+01:00."),
    "needs_template": _fault(
        "This goes with a template; content is sent as it is.", "Leave it out, or use a template."
    ),
    "not_yours_to_say": _fault("Only a relay can give this reason.", "Use another reason."),
    "recipient_not_allowed": _fault(
        "This instance, or this key, does not mail that address.", "`detail` names the setting; ask the operator."
    ),
    "smtputf8_not_supported": _fault("The part before the @ is not ASCII.", "Send another address of that person."),
    "template_failed": _fault(
        "The template cannot be rendered with these variables.", "Mend the variables or the template."
    ),
    "template_blocked": _fault(
        "The template renders, and is not fit to be sent.", "Do what `detail` says, and publish again."
    ),
    "template_forbidden": _fault(
        "The template does something that templates may not do.", "Write it without; `detail` says what it was."
    ),
    "template_too_large": _fault("The template, or a mail of it, is too large.", "Shorten it; `detail` says what."),
    "template_too_slow": _fault(
        "Rendering the template takes too long, or too much memory.", "Make it shorter: fewer and smaller loops."
    ),
    "files_or_parts": _fault("There are files and parts.", "Send one of them."),
    "invalid_setting": _fault("A setting or the sample cannot be as it is.", "`detail` says what it may be."),
    "invalid_slug": _fault(
        "This cannot be the name of a template or layout.", "Use lower-case letters, digits, - and _."
    ),
    "unknown_file": _fault("A template has no such file.", "`detail` says which it may have."),
    "template_or_content": _fault("There are a template and content.", "Send one of them."),
    "time_out_of_range": _fault("The time is too early or too late.", "`detail` says which times are possible."),
    "too_large": _fault(
        "It is too large.", "Send at most 512 KiB a notification (attachments apart), and 256 KiB of variables."
    ),
    "too_long": _fault("The text is too long.", "Shorten it; `detail` says how long it may be."),
    "too_many": _fault("There are too many of these.", "`detail` says how many there may be."),
    "unknown_event_type": _fault("There is no such event type.", "`detail` lists those that there are."),
    "unknown_field": _fault("There is no such field.", "Leave it out, or mend its name."),
    "unknown_template": _fault("There is no such template.", "Mend the slug, or publish the template first."),
    "unknown_template_version": _fault("The template has no such version.", "Name another, or leave it out."),
    "unknown_variable": _fault("The template has no such variable.", "Leave it out, or mend its name."),
    "wrong_variable_type": _fault("The variable has the wrong type or form.", "Send what `detail` asks for."),
    "wrong_variable_value": _fault(
        "The template shows the variable as a date, an amount or a style, and it is none.",
        "Send what `detail` asks for.",
    ),
}
ENTRIES = MappingProxyType(_PROBLEMS | _FAULTS)


def codes_of(status: int, operation_id: str) -> list[str]:
    """The codes that a route may answer with this status, as far as they are not faults of single fields."""
    return [
        code
        for code, entry in _PROBLEMS.items()
        if entry.status == status and (status != 409 or operation_id in entry.operations)  # noqa: PLR2004 - conflict
    ]
