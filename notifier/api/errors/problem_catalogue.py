"""Every code that a caller can be answered with: what it means and what to do; pages and documentation are made of it.

A test finds any code that the package answers with and that is not in here.
"""

from types import MappingProxyType

from notifier.api.errors.catalogue_entry import make_entry
from notifier.api.errors.fault_catalogue import FAULT_ENTRIES

_REPEAT_REMEDY = "Repeat the request after `Retry-After`, with the same `Idempotency-Key` if it had one."
_LOOK_REMEDY = "Look with `GET` at how it stands; `detail` says so too."
_SUBMIT_OPERATIONS = "submit_notification submit_batch"


_PROBLEMS = {
    "malformed_json": make_entry(
        400, "Not valid JSON", "The body is no JSON that everyone reads alike.",
        "Send strict JSON in UTF-8: no key twice, no NaN, no NUL, no lone surrogate.",
    ),
    "malformed_encoding": make_entry(
        400, "The request cannot be understood", "The body is not what its `Content-Encoding` says.",
        "Send all of the gzip data and nothing behind it, or the body as it is without `Content-Encoding`.",
    ),
    "invalid_idempotency_key": make_entry(
        400, "The request cannot be understood",
        "The Idempotency-Key is too long, empty, not printable ASCII, or has a quote that is not closed.",
        "Send 1 to 255 printable ASCII characters (251 for a batch), such as a UUID; with quotes around it or without.",
    ),
    "disconnected": make_entry(
        400, "The request ended too soon", "The connection was closed before the whole body had come.",
        "Send it again, and all of it.",
    ),
    "unauthenticated": make_entry(
        401, "No valid API key", "The request has no API key, or one that is unknown, revoked or expired.",
        "Send `Authorization: Bearer ntf_live_…` with a key of your service.",
    ),
    "insufficient_scope": make_entry(
        403, "The API key may not do this", "The key is valid and lacks the scope that `detail` names.",
        "Use a key with that scope, or ask the operator for one.",
    ),
    "not_yours": make_entry(
        403, "Not yours to change", "It is the instance's, not your service's.", "Ask the operator.",
    ),
    "key_kind_not_allowed": make_entry(
        403, "A key of this kind may not do this", "What live mail and stronger keys depend on is not for this key.",
        "Use a live key, or ask the operator.",
    ),
    "not_found": make_entry(
        404, "Not found", "There is no such thing, or it belongs to another service.",
        "Check the path and the id, and that the key is of the service that made it.",
    ),
    "method_not_allowed": make_entry(
        405, "Method Not Allowed", "The path exists, but not with this method.", "Use a method that `Allow` names.",
    ),
    "idempotency_in_progress": make_entry(
        409, "Still being written", "A request with this Idempotency-Key is being written at this moment.",
        _REPEAT_REMEDY, _SUBMIT_OPERATIONS,
    ),
    "already_under_way": make_entry(
        409, "The mail is, or may be, on its way", "The mail is being handed over to a relay, or may have been.",
        "Wait until it has ended. " + _LOOK_REMEDY,
        "cancel_notification update_notification resolve_notification",
    ),
    "already_ended": make_entry(
        409, "The notification has ended", "It has been sent, has failed, or has ended otherwise.",
        _LOOK_REMEDY + " What failed or expired can be retried.", "cancel_notification update_notification",
    ),
    "already_attempted": make_entry(
        409, "It has been tried already", "A relay may know this mail, and every try must have the same bytes.",
        "Cancel it and submit another.", "update_notification",
    ),
    "is_a_copy": make_entry(
        409, "This is a copy", "A copy (Cc or Bcc) changes with the notification that it is a copy of.",
        "Change the one that `parent_id` names.", "update_notification",
    ),
    "not_retryable": make_entry(
        409, "Neither failed nor expired", "Only what has failed or expired can be sent again.",
        _LOOK_REMEDY, "retry_notification",
    ),
    "batch_cancelled": make_entry(
        409, "Its batch was cancelled", "Nothing of a cancelled batch is sent, nor sent again.", "Submit it anew.",
        "retry_notification resolve_notification",
    ),
    "not_unknown": make_entry(
        409, "Not unknown", "There is nothing to decide: the status is not `unknown`.", _LOOK_REMEDY, "resolve_notification",
    ),
    "unrenderable": make_entry(
        409, "The mail cannot be made", "Its template fails with its variables, or its content was deleted.",
        "Publish a template that works, then submit it anew; `detail` says what is wrong.",
        "get_notification_content",
    ),
    "endpoint_disabled": make_entry(
        409, "The endpoint is disabled", "Nothing is sent to a disabled webhook endpoint.", "Enable it first.",
        "test_webhook replay_webhook_delivery replay_failed_webhook_deliveries",
    ),
    "too_many_endpoints": make_entry(
        409, "Too many endpoints", "The service has as many webhook endpoints as it may have.", "Delete one first.",
        "create_webhook",
    ),
    "stale_asset": make_entry(
        409, "Somebody else was faster", "The image was uploaded or deleted since you looked.",
        "Look with `GET` at how it stands, and name its `revision` (0: there is none) if you still want yours.",
        "upload_asset",
    ),
    "asset_not_ready": make_entry(
        409, "The image is not ready", "It is still worked at, or it has failed; `detail` says why.",
        "Wait until its `status` is `ready`, or upload one that can be used.", "get_asset_file",
    ),
    "too_many_templates": make_entry(
        409, "Too many templates, layouts or images", "There are as many as an instance keeps.",
        "Delete one that nobody uses, or ask the operator.", "save_template_draft save_layout upload_asset",
    ),
    "too_many_keys": make_entry(
        409, "Too many API keys", "The service has as many valid keys as it may have.",
        "Revoke one that nobody uses, or rotate without overlap.", "create_key rotate_key",
    ),
    "key_ended": make_entry(
        409, "The API key has ended", "It was revoked, or has expired.", "Make a new one.", "rotate_key",
    ),
    "key_replaced": make_entry(
        409, "The API key has been rotated already", "Another key has taken its place.",
        "Use that one, or rotate it.", "rotate_key",
    ),
    "stale_draft": make_entry(
        409, "Somebody else was faster", "The draft or the template has changed since what `seen` names.",
        "`theirs` and `yours` are both sides, `diff` leads from theirs to yours: merge, and say the `seen` of theirs.",
        "save_template_draft discard_template_draft publish_template restore_template",
    ),
    "template_deleted": make_entry(
        409, "The template is deleted", "A deleted template is not edited.", "Restore it first.",
        "save_template_draft discard_template_draft publish_template restore_template",
    ),
    "nothing_to_publish": make_entry(
        409, "Nothing to publish", "The text, with its layouts, is that of the current version.",
        "Change something, or discard the draft.", "publish_template restore_template",
    ),
    "gate_closed": make_entry(
        409, "Callers would break",
        "What callers really ask for would be refused, or could not be made into mail; `report` says whose, and why.",
        "Make the new variables optional, or talk to those callers; an admin key may publish with `force_reason`.",
        "publish_template restore_template",
    ),
    "stale_layout": make_entry(
        409, "Somebody else was faster", "The layout has changed since this `revision`.",
        "`theirs` and `yours` are both sides, `diff` leads from theirs to yours: merge, and say the new `revision`.",
        "save_layout delete_layout",
    ),
    "layout_in_use": make_entry(
        409, "The layout is in use", "Templates use it, and could not be published without it.",
        "Change those templates first; `detail` names them.", "delete_layout",
    ),
    "request_timeout": make_entry(
        408, "The request came too slowly", "The header fields or the body were not sent in time.", _REPEAT_REMEDY),
    "request_too_large": make_entry(
        413, "The request cannot be understood", "The body is larger than `detail` says.",
        "Send less at once: a smaller batch, smaller attachments.",
    ),
    "unsupported_media_type": make_entry(
        415, "The request cannot be understood",
        "The body does not claim to be JSON in UTF-8, or is compressed by something else than gzip.",
        "Send `Content-Type: application/json`, and either gzip or no `Content-Encoding`.",
    ),
    "idempotency_key_reused": make_entry(
        422, "Idempotency-Key used for another request", "The key came before with another body; nothing was written.",
        "Use a new key for each new request, and the same body whenever you repeat one.",
    ),
    "invalid_request": make_entry(
        422, "The request has faults", "It has faults of more than one kind; `errors` lists all, each with a pointer.",
        "Mend what `errors` says; repeating the request as it is does not help.",
    ),
    "rate_limited": make_entry(
        429, "Too many requests", "The service has asked more often than its limit allows.",
        "Wait as long as `Retry-After` says. Send many notifications as a batch.",
    ),
    "too_many_streams": make_entry(
        429, "Too many event streams", "This key, or all keys together, have as many open as they may have.",
        "Close one, ask again after `Retry-After`, or ask for the state itself with `GET`."),
    "too_much_refused": make_entry(
        429, "Too much was refused",
        "Templates that this key tried before were refused again and again, or took very long; nothing was tried now.",
        "Wait as long as `Retry-After` says.",
    ),
    "internal_error": make_entry(
        500, "Something went wrong on our side", "A fault of the server; it has been logged with the request id.",
        "Repeat it with the same `Idempotency-Key`. If it stays, give the operator the `request_id`.",
    ),
    "database_unavailable": make_entry(
        503, "Not accepted, or not confirmed; try again",
        "The database is out of reach or overloaded. Rarely, the request was carried out and only its reply was lost.",
        _REPEAT_REMEDY,
    ),
    "too_many_connections": make_entry(
        503, "Too many connections", "As many are open as the server can keep.", _REPEAT_REMEDY + " Use fewer."),
    "queue_too_long": make_entry(
        503, "It would expire in the queue",
        "So much is due before it that it would expire before a sender comes to it; nothing was written.",
        "Repeat it after `Retry-After` if it is still worth sending then, give it more time, or a higher priority.",
    ),
    "http_error": make_entry(
        400, "Another HTTP error", "The request could not be dealt with; `status` and `detail` say why.",
        "Mend the request as `detail` says.",
    ),
}  # fmt: skip
PROBLEM_ENTRIES = MappingProxyType(_PROBLEMS | FAULT_ENTRIES)


def list_codes(status: int, operation_id: str) -> list[str]:
    """The codes that a route may answer with this status, as far as they are not faults of single fields."""
    return [
        code
        for code, entry in _PROBLEMS.items()
        if entry.status == status and (status != 409 or operation_id in entry.operation_ids)  # noqa: PLR2004 - conflict
    ]
