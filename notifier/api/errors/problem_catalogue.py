"""Every problem code, with its status, title, meaning and remedy.

Problem pages and OpenAPI are built from it.
A test finds codes of the package that are missing here.
"""

from dataclasses import dataclass
from types import MappingProxyType

from notifier.api.errors.fault_catalogue import FAULTS
from notifier.api.errors.merge_problems import MERGE_PROBLEMS
from notifier.api.errors.staff_problems import STAFF_PROBLEMS

_REPEAT_REMEDY = "Repeat the request after `Retry-After`, with the same `Idempotency-Key` if it had one."
_LOOK_REMEDY = "`detail` says its status; you can also read it with `GET`."
_SUBMIT_OPERATIONS = "submit_notification submit_batch"


@dataclass(frozen=True)
class CatalogueEntry:
    """The explanation of a code."""

    status: int
    title: str
    meaning: str = ""
    remedy: str = ""
    operation_ids: str = ""  # of a 409: the ids of the operations that answer it, separated by spaces


_PROBLEMS = {
    "malformed_json": CatalogueEntry(
        400, "Not valid JSON", "The body is not JSON that every parser reads in the same way.",
        "Send strict JSON in UTF-8: no duplicate key, no NaN, no NUL, no lone surrogate.",
    ),
    "malformed_encoding": CatalogueEntry(
        400, "The request cannot be understood", "The body is not what its `Content-Encoding` says.",
        "Send complete gzip data and nothing after it, or send the body without `Content-Encoding`.",
    ),
    "invalid_idempotency_key": CatalogueEntry(
        400, "The request cannot be understood",
        "The Idempotency-Key is too long, empty, not printable ASCII, or has a quote that is not closed.",
        "Send 1 to 255 printable ASCII characters (251 for a batch), such as a UUID; with quotes around it or without.",
    ),
    "disconnected": CatalogueEntry(
        400, "The request ended too soon", "The connection was closed before the whole body was received.",
        "Send the whole request again.",
    ),
    "unauthenticated": CatalogueEntry(
        401, "No valid API key", "The request has no API key, or one that is unknown, revoked or expired.",
        "Send `Authorization: Bearer ntf_live_…` with a key of your service.",
    ),
    "insufficient_scope": CatalogueEntry(
        403, "The API key may not do this", "The key is valid, but lacks the scope that `detail` names.",
        "Use a key with that scope, or ask the operator for one.",
    ),
    "not_yours": CatalogueEntry(
        403, "Not yours to change", "It belongs to the instance, not to your service.", "Ask the operator.",
    ),
    "key_kind_not_allowed": CatalogueEntry(
        403, "A key of this kind may not do this",
        "Such a key may not change what live mail or stronger keys depend on.",
        "Use a live key, or ask the operator.",
    ),
    "not_found": CatalogueEntry(
        404, "Not found", "It does not exist, or it belongs to another service.",
        "Check the path and the id, and that the key is of the service that made it.",
    ),
    "method_not_allowed": CatalogueEntry(
        405, "Method Not Allowed", "The path exists, but not with this method.", "Use a method that `Allow` lists.",
    ),
    "idempotency_in_progress": CatalogueEntry(
        409, "Still being written", "A request with this Idempotency-Key is being written at this moment.",
        _REPEAT_REMEDY, _SUBMIT_OPERATIONS,
    ),
    "already_under_way": CatalogueEntry(
        409, "The mail is, or may be, on its way", "The mail is being handed over to a relay, or may have been.",
        "Wait until it has ended. " + _LOOK_REMEDY,
        "cancel_notification update_notification resolve_notification",
    ),
    "already_ended": CatalogueEntry(
        409, "The notification has ended", "It has been sent, has failed, or has ended otherwise.",
        _LOOK_REMEDY + " What failed or expired can be retried.", "cancel_notification update_notification",
    ),
    "already_attempted": CatalogueEntry(
        409, "It has been attempted already",
        "A relay may have received this mail, and every attempt must send the same bytes.",
        "Cancel it and submit a new notification.", "update_notification",
    ),
    "is_a_copy": CatalogueEntry(
        409, "This is a copy", "A copy (Cc or Bcc) changes together with the notification that was copied.",
        "Change the notification in `parent_id`.", "update_notification",
    ),
    "not_retryable": CatalogueEntry(
        409, "Neither failed nor expired", "Only a failed or expired notification can be retried.",
        _LOOK_REMEDY, "retry_notification",
    ),
    "batch_cancelled": CatalogueEntry(
        409, "Its batch was cancelled", "No mail of a cancelled batch is sent or resent.", "Submit a new notification.",
        "retry_notification resolve_notification",
    ),
    "content_erased": CatalogueEntry(
        409, "The content was erased",
        "The content, or its secret variables, were kept as long as the retention says, and are gone. With status 410 "
        "when you read it, with 409 when you send it again.",
        "Submit a new notification. `content_until` of a notification says how long its content is kept.",
        "retry_notification resolve_notification",
    ),
    "not_unknown": CatalogueEntry(
        409, "Not unknown", "The status is not `unknown`: there is nothing to resolve.",
        _LOOK_REMEDY, "resolve_notification",
    ),
    "unrenderable": CatalogueEntry(
        409, "The mail cannot be rendered", "Its template fails with its variables, or a part of it is gone.",
        "Publish a template that works, then submit a new notification; `detail` says what is wrong.",
        "get_notification_content",
    ),
    "endpoint_disabled": CatalogueEntry(
        409, "The endpoint is disabled", "Nothing is sent to a disabled webhook endpoint.", "Enable it first.",
        "test_webhook replay_webhook_delivery replay_failed_webhook_deliveries",
    ),
    "too_many_endpoints": CatalogueEntry(
        409, "Too many endpoints", "The service has the maximum number of webhook endpoints.", "Delete one first.",
        "create_webhook",
    ),
    "stale_asset": CatalogueEntry(
        409, "Edit conflict", "The image was uploaded or deleted since you loaded it.",
        "Load it with `GET`, and repeat the upload with its `revision` (0: there is none) if you still want yours.",
        "upload_asset",
    ),
    "asset_not_ready": CatalogueEntry(
        409, "The image is not ready", "It is still being processed, or processing failed; `detail` says why.",
        "Wait until its `status` is `ready`, or upload another image.", "get_asset_file",
    ),
    "too_many_templates": CatalogueEntry(
        409, "Too many templates, layouts or images", "The instance has the maximum number of them.",
        "Delete one that is no longer used, or ask the operator.",
        "save_template_draft save_layout upload_asset push_templates",
    ),
    "job_state": CatalogueEntry(
        409, "The state of the job does not allow it", "The job has ended, or is not in a state for this operation.",
        "`detail` names the state. Only a paused job can be resumed, and only a failed one retried.",
        "cancel_job pause_job resume_job retry_job",
    ),
    "stale_schedule": CatalogueEntry(
        409, "Edit conflict", "Somebody changed the schedule after the `revision` that you sent.",
        "Load it, and send your change with its `revision`.", "save_schedule",
    ),
    "schedule_busy": CatalogueEntry(
        409, "A run began at the same moment", "Another request began a run at the same moment.",
        "Look at the list of jobs, and try again.", "run_schedule",
    ),
    "built_in_schedule": CatalogueEntry(
        409, "A built-in schedule", "It can be moved, switched off and run, but not deleted, and keeps its action.",
        "Switch it off with `enabled: false`.", "save_schedule delete_schedule",
    ),
    "too_many_schedules": CatalogueEntry(
        409, "Too many schedules", "The owner has the maximum number of schedules.", "Delete one first.",
        "save_schedule",
    ),
    "stale_feed": CatalogueEntry(
        409, "Edit conflict", "Somebody changed the feed after the `revision` that you sent.",
        "Load it, and send your change with its `revision`.", "save_feed fetch_feed",
    ),
    "too_many_feeds": CatalogueEntry(
        409, "Too many feeds", "The owner has the maximum number of feeds.", "Delete one first.", "save_feed",
    ),
    "nothing_to_confirm": CatalogueEntry(
        409, "Nothing to confirm", "No document of this feed waits for a confirmation.",
        "Look at the feed: somebody has confirmed it, or its document is not empty any more.", "confirm_feed",
    ),
    "too_many_keys": CatalogueEntry(
        409, "Too many API keys", "The service has the maximum number of valid keys.",
        "Revoke one that is no longer used, or rotate without overlap.", "create_key rotate_key",
    ),
    "key_ended": CatalogueEntry(
        409, "The API key has ended", "It was revoked, or has expired.", "Create a new key.", "rotate_key",
    ),
    "key_replaced": CatalogueEntry(
        409, "The API key has been rotated already", "Another key has replaced it.",
        "Use that one, or rotate it.", "rotate_key",
    ),
    "service_exists": CatalogueEntry(
        409, "This service exists", "There is a service with this name already.",
        "Change that one with `PATCH`, or choose another name.", "create_service",
    ),
    "stale_draft": CatalogueEntry(
        409, "Edit conflict", "Somebody changed the draft or the template after the `revision` that you sent.",
        "Compare `theirs` and `yours` with `diff`, merge, and send the result with their `revision`.",
        "save_template_draft discard_template_draft publish_template restore_template",
    ),
    "template_deleted": CatalogueEntry(
        409, "The template is deleted", "A deleted template cannot be edited.", "Restore it first.",
        "save_template_draft discard_template_draft publish_template restore_template",
    ),
    "nothing_to_publish": CatalogueEntry(
        409, "Nothing to publish", "The draft, with its layouts, is the same as the current version.",
        "Change something, or discard the draft.", "publish_template restore_template",
    ),
    "gate_closed": CatalogueEntry(
        409, "Callers would break",
        "Requests that callers really send would be refused or could not be rendered; `report` lists them.",
        "Make the new variables optional, or ask those callers to change. Admin keys can publish with `force_reason`.",
        "publish_template restore_template push_templates",
    ),
    "newer_edits": CatalogueEntry(
        409, "The database has newer edits",
        "A version, a draft, a layout or a deletion is newer than the files, or is of somebody else.",
        "Compare it with the files, and take it into them. `overwrite` replaces it.", "push_templates",
    ),
    "stale_layout": CatalogueEntry(
        409, "Edit conflict", "Somebody changed the layout after the `revision` that you sent.",
        "Compare `theirs` and `yours` with `diff`, merge, and send the result with their `revision`.",
        "save_layout delete_layout push_templates",
    ),
    "layout_in_use": CatalogueEntry(
        409, "The layout is in use", "Templates use it and could not be published without it.",
        "Change those templates first; `detail` names them.", "delete_layout",
    ),
    "request_timeout": CatalogueEntry(
        408, "The request came too slowly", "The header or the body was not received in time.", _REPEAT_REMEDY),
    "request_too_large": CatalogueEntry(
        413, "The request cannot be understood", "The body is larger than the limit in `detail`.",
        "Send less at once: a smaller batch, or smaller attachments.",
    ),
    "unsupported_media_type": CatalogueEntry(
        415, "The request cannot be understood",
        "The `Content-Type` is not JSON in UTF-8, or the `Content-Encoding` is not gzip.",
        "Send `Content-Type: application/json`, and either gzip or no `Content-Encoding`.",
    ),
    "idempotency_key_reused": CatalogueEntry(
        422, "Idempotency-Key used for another request",
        "The key was used before with another body; nothing was written.",
        "Use a new key for each new request, and the same body when you repeat one.",
    ),
    "invalid_request": CatalogueEntry(
        422, "The request has faults", "It has faults of more than one kind; `errors` lists them, each with a pointer.",
        "Correct the faults in `errors`; repeating the request unchanged does not help.",
    ),
    "rate_limited": CatalogueEntry(
        429, "Too many requests", "The key or the service has reached its rate limit.",
        "Wait as long as `Retry-After` says. Send many notifications as a batch.",
    ),
    "too_many_streams": CatalogueEntry(
        429, "Too many event streams", "This key, or all keys together, have the maximum number of open streams.",
        "Close one, try again after `Retry-After`, or get the state itself with `GET`."),
    "too_much_refused": CatalogueEntry(
        429, "Too much was refused",
        "Templates that this key rendered before were refused repeatedly or took very long; nothing was rendered now.",
        "Wait as long as `Retry-After` says.",
    ),
    "internal_error": CatalogueEntry(
        500, "Something went wrong on our side", "An error of the server; it was logged with the request id.",
        "Repeat it with the same `Idempotency-Key`. If it fails again, give the operator the `request_id`.",
    ),
    "database_unavailable": CatalogueEntry(
        503, "Not accepted, or not confirmed; try again",
        "The database is out of reach or overloaded. Rarely, the request was carried out and only its reply was lost.",
        _REPEAT_REMEDY,
    ),
    "too_many_connections": CatalogueEntry(
        503, "Too many connections", "The server has the maximum number of open connections.",
        _REPEAT_REMEDY + " Use fewer."),
    "queue_too_long": CatalogueEntry(
        503, "It would expire in the queue",
        "So much mail is due before it that it would expire before a sender reaches it; nothing was written.",
        "Repeat it after `Retry-After`, choose a later `expires_at` or a higher priority, or drop the mail.",
    ),
    "http_error": CatalogueEntry(
        400, "Another HTTP error", "The request could not be handled; `status` and `detail` say why.",
        "Correct the request as `detail` says.",
    ),
} | {code: CatalogueEntry(409, *words) for code, words in (MERGE_PROBLEMS | STAFF_PROBLEMS).items()}  # fmt: skip
_FAULTS = {
    code: CatalogueEntry(422, "The request has faults", meaning, remedy) for code, (meaning, remedy) in FAULTS.items()
}
PROBLEM_ENTRIES = MappingProxyType(_PROBLEMS | _FAULTS)


def list_codes(status: int, operation_id: str) -> list[str]:
    """List the codes of an operation's answers with this status, without the codes of single faults."""
    return [
        code
        for code, entry in _PROBLEMS.items()
        if entry.status == status and (status != 409 or operation_id in entry.operation_ids.split())  # noqa: PLR2004 - conflict
    ]
