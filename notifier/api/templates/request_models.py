"""The request models of templates and of the publish gate."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import Path
from pydantic import ConfigDict, Field, JsonValue, StringConstraints

from notifier.api import fields, request_model
from notifier.api.notifications.submission_models import MAX_VARIABLES
from notifier.api.request_model import RequestModel
from notifier.states import Category, Priority, WhenUncertain
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating.validation import MAX_FILES, MAX_SOURCE_BYTES

MAX_NOTE_LENGTH = 500
MAX_FILE_NAME_LENGTH = 80  # characters of the name of a template's file, with its folder
SCHEME = "^[a-z][a-z0-9+.-]{0,30}$"
SLUG_PATTERN = "^[a-z][a-z0-9_-]{0,63}$"
FILE_PATTERN = r"^(locales/[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*/)?(subject\.txt|body\.html|body\.txt)$"
Slug = Annotated[
    str, Path(description="The template's name in paths and requests.", json_schema_extra={"pattern": SLUG_PATTERN})
]
Number = Annotated[
    str,
    Path(
        description="The number of a version, from 1.",
        json_schema_extra={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    ),
]
_Path = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Mailbox = Annotated[str, StringConstraints(max_length=640), fields.document_field(pattern=fields.MAILBOX_PATTERN)]
LIKE = (
    "A notification of this template: its variables are used, without the secret ones. Needs the scope"
    " `templates:edit`, and is recorded."
)
FILES: dict[str, JsonValue] = {"subject.txt": "Hello {{ name }}", "body.html": "<p>Hello {{ name }}</p>"}
_SETTINGS: JsonValue = {"name": "Greeting"}
_EXAMPLE: JsonValue = {"files": FILES, "sample": {"name": "Ada"}, "settings": _SETTINGS, "revision": ""}
_Text = Annotated[str, StringConstraints(max_length=MAX_SOURCE_BYTES)]
_Files = Annotated[
    dict[str, _Text],
    Field(max_length=MAX_FILES),
    fields.document_field(propertyNames={"pattern": FILE_PATTERN, "maxLength": MAX_FILE_NAME_LENGTH}),
]
_Sample = Annotated[dict[str, Any], Field(max_length=MAX_VARIABLES)]


class SettingsIn(RequestModel):
    """The settings of a template, as in `template.toml`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SETTINGS]})

    name: str = Field(min_length=1, max_length=200, description="A name for people.")
    description: str = Field("", max_length=1000)
    category: Category = Field(Category.TRANSACTIONAL, strict=False, description="Marketing is always `bulk`.")
    priority: Priority = Field(Priority.NORMAL, strict=False)
    locale: Annotated[str, StringConstraints(max_length=35, pattern=fields.LOCALE_PATTERN)] = Field(
        "en", description="The language of the files outside `locales/`."
    )
    expires_after: Annotated[str, fields.document_field(pattern="^[0-9]{0,3}[1-9][0-9]{0,3}[mhd]$")] | None = Field(
        None, max_length=5, description="The time after which a mail expires: `30m`, `1h`, `3d`."
    )
    when_uncertain: WhenUncertain = Field(
        WhenUncertain.RESEND,
        strict=False,
        description="`hold`: if it is unknown whether a relay accepted a mail, you decide.",
    )
    optional: list[_Path] = Field(
        default_factory=list, max_length=500, description="Dotted paths of variables that may be left out."
    )
    from_: _Mailbox | None = Field(None, alias="from", description="The sender, unless a request names another.")
    reply_to: _Mailbox | None = Field(None, description="The address for replies, unless a request names another.")
    public: list[_Path] = Field(
        default_factory=list,
        max_length=500,
        description="Dotted paths of variables whose values are typed by strangers.",
    )
    secret: list[_Path] = Field(
        default_factory=list, max_length=500, description="Dotted paths of variables that editors must not see."
    )
    link_schemes: list[Annotated[str, StringConstraints(max_length=31), fields.document_field(pattern=SCHEME)]] = Field(
        default_factory=list,
        max_length=20,
        description="Schemes that links may have besides https, http, mailto, tel and sms, such as `shopapp`.",
    )
    keep_content_days: fields.KeepDays | None = Field(
        None,
        description="Days that content is kept after the end, up to the operator's ceiling. Default: as the service or "
        "the instance says.",
    )


class SourceIn(RequestModel):
    """The files, the sample and the settings of a template."""

    files: _Files = Field(
        description="`subject.txt`, `body.html`, perhaps `body.txt`; the same below `locales/<tag>/`. "
        "Without `body.txt` the text is made from the HTML."
    )
    sample: _Sample = Field(default_factory=dict, description="Variables, as a caller would send them.")
    settings: SettingsIn

    def source(self) -> TemplateSource:
        """Convert the request into a source."""
        settings = self.settings.model_dump(mode="json", by_alias=True)
        return TemplateSource(
            files=self.files, sample=self.sample, settings=msgspec.convert(settings, TemplateSettings)
        )


class DraftIn(SourceIn):
    """A draft to save."""

    limits = request_model.TEMPLATE_LIMITS
    keep_fractions = True
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    revision: str = Field(max_length=64, description="The `revision` that you have loaded; empty for a new slug.")
    unfinished: bool = Field(
        default=False, description="Keep the draft even if it does not render; it cannot be published or sent."
    )


class PublishIn(RequestModel):
    """A draft to publish."""

    revision: str = Field(max_length=64, description="The `revision` that you have loaded.")
    note: str = Field("", max_length=MAX_NOTE_LENGTH, description="The reason, shown with the version.")
    force_reason: str = Field(
        "", max_length=MAX_NOTE_LENGTH, description="Publish although callers would break; needs the scope `admin`."
    )


class RestoreIn(RequestModel):
    """An old version to publish again, or a deleted template to undelete."""

    version: fields.PositiveWholeNumber | None = Field(
        None, description="Publish the unchanged text of this version. Default: undelete the template."
    )
    note: str = Field("", max_length=MAX_NOTE_LENGTH, description="The reason, shown with the version.")
    revision: str | None = Field(
        None,
        max_length=64,
        description="The `revision` that you have loaded: 409 if it has changed. Default: not checked.",
    )
    force_reason: str = Field(
        "", max_length=MAX_NOTE_LENGTH, description="Publish although callers would break; needs the scope `admin`."
    )


class GateIn(RequestModel):
    """The source to try, and how values are shown."""

    version: fields.PositiveWholeNumber | None = Field(
        None, description="An old version, as `restore` would publish it; default: the draft."
    )
    unmasked: bool = Field(
        default=False, description="Show secret values; needs the scope `content:unmasked`, and is recorded."
    )


class PreviewIn(RequestModel):
    """How to preview a template."""

    limits = request_model.VARIABLES_LIMITS
    variables: _Sample | None = Field(None, description="Default: the sample.")
    locale: Annotated[str, StringConstraints(max_length=35, pattern=fields.LOCALE_PATTERN)] | None = None
    version: fields.PositiveWholeNumber | None = Field(None, description="Preview this version. Default: the draft.")
    to: fields.Address | None = Field(None, description="The recipient shown in the mail; nothing is sent.")
    like: UUID | None = Field(None, strict=False, description=LIKE)


class TestSendIn(PreviewIn):
    """A test mail to send, equal to the preview."""

    to: fields.Address = Field(description="Exactly one bare address; who may be mailed is as for every notification.")


_UNSAVED: JsonValue = {"subject": "Hello {{ name }}", "html": "<p>Hello {{ name }}</p>", "variables": {"name": "Ada"}}


class RenderIn(RequestModel):
    """Text that is not saved: three parts, or all files of a template."""

    limits = request_model.TEMPLATE_LIMITS
    keep_fractions = True
    model_config = ConfigDict(json_schema_extra={"examples": [_UNSAVED]})

    subject: _Text | None = Field(None, description="With `html`, and perhaps `text`, instead of `files`.")
    html: _Text | None = None
    text: _Text | None = Field(None, description="Default: made from the HTML.")
    files: _Files | None = Field(None, description="As in a draft.")
    settings: SettingsIn | None = None
    variables: _Sample = Field(default_factory=dict)
    locale: Annotated[str, StringConstraints(max_length=35, pattern=fields.LOCALE_PATTERN)] | None = None
    template: Annotated[str, StringConstraints(max_length=64, pattern=SLUG_PATTERN)] | None = Field(
        None, description="The template whose text this will be; needed with `like`."
    )
    like: UUID | None = Field(None, strict=False, description=LIKE + " `variables` is then only the sample.")
