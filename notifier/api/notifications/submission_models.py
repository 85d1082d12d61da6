"""The request models of notifications, and how a body becomes the domain's request."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from notifier.api import fields, request_model
from notifier.api.errors.faults import build_faults, build_not_object_fault
from notifier.api.fields import Address, PositiveWholeNumber, Time, describe_optional
from notifier.api.request_model import PatchModel, RequestModel, drop_unset
from notifier.errors import Fault, InvalidRequestError
from notifier.rendering import subject_values
from notifier.states import Priority, Resolution, WhenUncertain
from notifier.status.notification_actions import MAX_COMMENT_LENGTH
from notifier.submission.attachment_validation import MAX_ATTACHMENTS, MAX_FILENAME_LENGTH
from notifier.submission.file_type import MAX_TYPE_LENGTH
from notifier.submission.new_notification import NotificationRequest
from notifier.submission.notification_change import NotificationChanges
from notifier.submission.request_validation import MAX_COPIES, MAX_HEADERS

MAX_VARIABLES = 1_000  # names in `variables`, and in a template's sample; what is below them is limited by bytes
_Mailbox = Annotated[fields.Text, fields.document_field(pattern=fields.MAILBOX_PATTERN)]
_MetadataValue = Annotated[str, StringConstraints(max_length=500)]
_Tag = Annotated[str, StringConstraints(min_length=1, max_length=64)]


_CONTENT_EXAMPLE: JsonValue = {"subject": "Welcome to Larkspur", "html": "<p>Welcome, Ada.</p>"}
NOTIFICATION_EXAMPLE: JsonValue = {
    "to": "ada@example.com",
    "template": "welcome",
    "variables": {"name": "Ada", "product": "Larkspur"},
}


_Part = Annotated[str, StringConstraints(max_length=request_model.MAX_NOTIFICATION_BYTES)]
_Variables = Annotated[dict[str, Any], Field(max_length=MAX_VARIABLES)]


class ContentIn(RequestModel):
    """Your own mail with `html`, `text` or both: it is sent as it is, nothing is filled in."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CONTENT_EXAMPLE]})

    subject: fields.Line = Field(min_length=1, max_length=subject_values.MAX_SUBJECT_LENGTH)
    html: _Part | None = Field(None, description="HTML part.")
    text: _Part | None = Field(None, description="Text part; made from the HTML when missing.")


class AttachmentIn(RequestModel):
    """A file that is attached to the mail."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"filename": "terms.txt", "content": "SGVsbG8sIEFkYSE=", "content_type": "text/plain"}]
        }
    )

    filename: str = Field(
        max_length=MAX_FILENAME_LENGTH, description="Without a path; its extension must fit the content type."
    )
    content: Annotated[str, fields.document_field(pattern=fields.BASE64_PATTERN, contentEncoding="base64")] = Field(
        max_length=fields.MAX_BASE64_LENGTH, description="The file in base64 (RFC 4648 §4)."
    )
    content_type: str = Field(
        max_length=MAX_TYPE_LENGTH,
        description="Media type, such as application/pdf; types that cannot be attached are refused.",
    )
    content_id: Annotated[str, fields.document_field(pattern=fields.CONTENT_ID_PATTERN)] | None = Field(
        None, max_length=64, description="For an inline image: `cid:` in the HTML refers to it."
    )


class NotificationIn(RequestModel):
    """A notification to send, with a `template` or with `content`, never both."""

    limits = request_model.FILES_LIMITS

    model_config = ConfigDict(json_schema_extra={"examples": [NOTIFICATION_EXAMPLE]})

    to: Address = Field(description="The recipient: exactly one bare address.")
    cc: list[Address] = Field(
        default_factory=list,
        max_length=MAX_COPIES,
        description="Recipients of copies who are named in the Cc field; with `bcc` at most 50, nobody twice.",
    )
    bcc: list[Address] = Field(
        default_factory=list, max_length=MAX_COPIES, description="Recipients of copies whom no header names."
    )
    template: str | None = Field(None, description="Slug of a published template; or give `content`.", max_length=64)
    template_version: PositiveWholeNumber | None = Field(None, description="A version other than the current one.")
    content: ContentIn | None = Field(
        None,
        description="The mail itself, instead of `template`; without `template_version`, `variables` and `locale`.",
    )
    variables: _Variables = Field(
        default_factory=dict, description="Values for the template's variables, with its names and types."
    )
    from_: _Mailbox | None = Field(
        None, alias="from", description="Sender, as an address or `Name <address>`, in one of the service's domains."
    )
    reply_to: _Mailbox | None = Field(None, description="Where replies go, as an address or `Name <address>`.")
    locale: Annotated[str, fields.document_field(pattern=fields.LOCALE_PATTERN)] | None = Field(
        None, max_length=35, description="Language tag; falls back: fr-CA, fr, default."
    )
    attachments: list[AttachmentIn] = Field(
        default_factory=list,
        max_length=MAX_ATTACHMENTS,
        description="Files; together at most 10 MiB. Their content must match name and type.",
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        max_length=MAX_HEADERS,
        description="Custom headers: `X-…` that the operator allows, and a few others, in ASCII only.",
        json_schema_extra={
            "propertyNames": {"pattern": fields.HEADER_NAME_PATTERN, "maxLength": 64},
            "additionalProperties": fields.HeaderValue,
        },
    )
    tags: list[_Tag] = Field(default_factory=list, max_length=10, description="Words for finding it again.")
    metadata: dict[_Tag, _MetadataValue] = Field(
        default_factory=dict, max_length=20, description="Your own data: kept, shown, and sent with webhooks."
    )
    send_at: Time | None = Field(
        None, description="Not before this time: at most a day ago and a year ahead. Default: now."
    )
    expires_at: Time | None = Field(
        None, description="Not after this time: later than `send_at`, by at most a year. Default: by 72 h."
    )
    priority: Priority | None = Field(None, strict=False, description="Default: the template's.")
    when_uncertain: WhenUncertain | None = Field(
        None,
        strict=False,
        description="If it is unknown whether a relay accepted it: `resend` sends it once more, `hold` waits for your "
        "decision. Default: the template's; `resend` for `content`.",
    )


def _describe_notification_patch(json_schema: dict[str, Any]) -> None:
    fields.describe_patch(json_schema)
    json_schema["examples"] = [{"priority": "high"}]


class NotificationPatchIn(PatchModel):
    """The fields that are to change; nothing else changes."""

    limits = request_model.VARIABLES_LIMITS

    model_config = ConfigDict(json_schema_extra=_describe_notification_patch)

    variables: _Variables = describe_optional(
        "All variables: they replace the old ones. Not for mail with `content`, which has none."
    )
    send_at: Time = describe_optional("Not before this time: at most a day ago and a year ahead.")
    expires_at: Time = describe_optional("Not after this time: later than `send_at`, by at most a year.")
    priority: Priority = describe_optional("Mail with a higher priority is sent first.", strict=False)


class ChangeIn(RequestModel):
    """The reason of a change."""

    comment: str = Field("", description="Kept in the timeline.", max_length=MAX_COMMENT_LENGTH)


class ResolveIn(ChangeIn):
    """The decision about a mail whose status is `unknown`."""

    as_: Resolution = Field(alias="as", strict=False, description="It was sent, it failed, or send it again.")


def drop_unset_fields(body: Any) -> Any:
    """Drop what counts as not set, so that bodies with the same meaning are equal."""
    return drop_unset(NotificationIn, body)


def parse_notification(body: Any, original: Any = None) -> tuple[NotificationRequest, list[Fault]]:
    """Parse a body into the domain's request; returns it and its faults. Fields with a fault keep their defaults.

    `body` is without what counts as not set. `original` is the body as it was received, which the faults describe.
    """
    if not isinstance(body, dict):
        return NotificationRequest(), [build_not_object_fault(body)]
    faults: list[Fault] = []
    try:
        parsed = NotificationIn.model_validate(body)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        faults = build_faults(errors, NotificationIn, body if original is None else original)
        if any(not error["loc"] for error in errors):
            return NotificationRequest(), faults
        broken = {str(error["loc"][0]) for error in errors if error["loc"]}
        sound = {name: value for name, value in body.items() if name not in broken}
        parsed = NotificationIn.model_validate({"to": ""} | sound)
        body = sound
    values = parsed.model_dump(by_alias=False)
    values["sender"] = values.pop("from_")
    sent = {"sender" if name == "from" else name for name in body}
    faults += _list_faults_between_fields(body, {fault.pointer for fault in faults})
    fields = {name: value for name, value in values.items() if name in sent}
    if any(fault.pointer.split("/")[1] == "variables" for fault in faults):
        fields["variables"] = None
    return NotificationRequest(**fields), faults


def measure_without_attachments(body: Any, size: int) -> int:
    """Count the bytes of a notification's text without its attachments."""
    files = body.get("attachments") if isinstance(body, dict) else None
    contents = [file.get("content") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    return size - sum(len(content) for content in contents if isinstance(content, str))


def _list_faults_between_fields(body: dict[str, Any], known: set[str]) -> list[Fault]:
    """List contradictions between valid fields: there must be a template or content, not both."""
    with_template, with_content = (body.get(name) is not None for name in ("template", "content"))
    if with_template and with_content:
        return [Fault("/content", "template_or_content", "send a template or content, not both")]
    if with_content:
        misplaced = [name for name in ("template_version", "variables", "locale") if body.get(name)]
        faults = [Fault(f"/{name}", "needs_template", "content is sent as it is") for name in misplaced]
        if not any(body["content"].get(name) for name in ("html", "text")):
            faults.append(Fault("/content", "missing_field", "html or text, or both"))
        return faults
    if with_template or any(pointer.startswith(("/template", "/content")) for pointer in known):
        return []
    return [Fault("/template", "missing_field", "name a template, or send content")]


def parse_changes(patch: NotificationPatchIn) -> NotificationChanges:
    """Parse the changes of a notification. Raises `InvalidRequestError` if there are none."""
    changes = NotificationChanges(**patch.model_dump())
    if not changes.field_names:
        raise InvalidRequestError([Fault("", "missing_field", "name at least one field to change")])
    return changes
