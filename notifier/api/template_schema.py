"""The shapes of templates on the wire: what editors send, and what they are shown."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from notifier.api import value
from notifier.rendering.job import Remark, Severity
from notifier.rendering.source import TemplateSettings, TemplateSource
from notifier.states import Category, Priority, WhenUncertain
from notifier.templating.delta import FileChange
from notifier.templating.form import MOST_FILES

LARGEST_REQUEST = 2 * 1024 * 1024  # escapes in JSON take room
LONGEST_NOTE = 500
SLUG = "^[a-z][a-z0-9_-]{0,63}$"
FILE = r"^(locales/[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*/)?(subject\.txt|body\.html|body\.txt)$"
Slug = Annotated[
    str, Path(description="The template's name in paths and requests.", json_schema_extra={"pattern": SLUG})
]
Number = Annotated[
    str,
    Path(
        description="Of a version, from 1.", json_schema_extra={"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
    ),
]
_Path = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_Mailbox = Annotated[str, StringConstraints(max_length=640), value.documented(pattern=value.MAILBOX)]
FILES: dict[str, JsonValue] = {"subject.txt": "Hello {{ name }}", "body.html": "<p>Hello {{ name }}</p>"}
_SETTINGS: JsonValue = {"name": "Greeting"}
_EXAMPLE: JsonValue = {"files": FILES, "sample": {"name": "Ada"}, "settings": _SETTINGS, "seen": ""}
_NAMED: dict[str, JsonValue] = {"propertyNames": {"pattern": FILE}, "maxProperties": MOST_FILES}


class SettingsIn(BaseModel):
    """What `template.toml` says."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [_SETTINGS]})

    name: str = Field(min_length=1, max_length=200, description="For people.")
    description: str = Field("", max_length=1000)
    category: Category = Field(Category.TRANSACTIONAL, strict=False, description="Marketing is always `bulk`.")
    priority: Priority = Field(Priority.NORMAL, strict=False)
    locale: Annotated[str, StringConstraints(max_length=35, pattern=value.LOCALE)] = Field(
        "en", description="Of the parts outside `locales/`."
    )
    expires_after: Annotated[str, value.documented(pattern="^[0-9]{0,3}[1-9][0-9]{0,3}[mhd]$")] | None = Field(
        None, max_length=5, description="How long a mail is worth sending: `30m`, `1h`, `3d`."
    )
    when_uncertain: WhenUncertain = Field(
        WhenUncertain.RESEND, strict=False, description="`hold`: if nobody knows whether a relay took it, you decide."
    )
    optional: list[_Path] = Field(
        default_factory=list, max_length=500, description="Dotted paths of variables that may be left out."
    )
    from_: _Mailbox | None = Field(None, alias="from", description="Sender, unless a request says otherwise.")
    reply_to: _Mailbox | None = Field(None, description="The same for answers.")
    public: list[_Path] = Field(
        default_factory=list, max_length=500, description="Dotted paths of variables that strangers have typed."
    )
    secret: list[_Path] = Field(
        default_factory=list, max_length=500, description="Dotted paths of variables that editors must not see."
    )


class SourceIn(BaseModel):
    """The text of a template, what it is shown with, and how it is sent."""

    model_config = ConfigDict(extra="forbid", strict=True)

    files: dict[str, str] = Field(
        description="`subject.txt`, `body.html`, `body.txt` if the HTML does not do; the same below `locales/<tag>/`.",
        json_schema_extra=_NAMED | {"required": ["subject.txt", "body.html"]},
    )
    sample: dict[str, Any] = Field(default_factory=dict, description="Variables, as a caller would send them.")
    settings: SettingsIn

    def source(self) -> TemplateSource:
        """The same in the words of rendering."""
        told = self.settings.model_dump(mode="json", by_alias=True)
        return TemplateSource(files=self.files, sample=self.sample, settings=msgspec.convert(told, TemplateSettings))


class DraftIn(SourceIn):
    """A draft to save."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [_EXAMPLE]})

    seen: str = Field(max_length=64, description="What you have seen: `seen` of the last answer; empty for a new slug.")


class PublishIn(BaseModel):
    """A draft to publish."""

    model_config = ConfigDict(extra="forbid", strict=True)

    seen: str = Field(max_length=64, description="What you have seen, as for saving.")
    note: str = Field("", max_length=LONGEST_NOTE, description="Why, for those who look at the versions.")
    force_reason: str = Field(
        "", max_length=LONGEST_NOTE, description="Publish though callers would break; needs the scope `admin`."
    )


class RestoreIn(BaseModel):
    """An old version to publish again, or a deleted template to have back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: value.Whole | None = Field(
        None, ge=1, le=2**31 - 1, description="Publish its very text again; without it: undo the deletion."
    )
    note: str = Field("", max_length=LONGEST_NOTE, description="Why.")
    seen: str | None = Field(None, max_length=64, description="What you have seen, if it must not have changed.")
    force_reason: str = Field("", max_length=LONGEST_NOTE, description="As for publishing.")


class PreviewIn(BaseModel):
    """How a template is to be looked at."""

    model_config = ConfigDict(extra="forbid", strict=True)

    variables: dict[str, Any] | None = Field(None, description="Default: the sample.")
    locale: Annotated[str, StringConstraints(max_length=35, pattern=value.LOCALE)] | None = None
    version: value.Whole | None = Field(None, ge=1, le=2**31 - 1, description="Of this version; default: of the draft.")


class TestSendIn(PreviewIn):
    """A mail to send as the preview shows it."""

    to: value.Address = Field(description="Exactly one bare address; who may be mailed is as for every notification.")


_UNSAVED: JsonValue = {"subject": "Hello {{ name }}", "html": "<p>Hello {{ name }}</p>", "variables": {"name": "Ada"}}


class RenderIn(BaseModel):
    """Text that is saved nowhere: three parts, or all files of a template."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [_UNSAVED]})

    subject: str | None = Field(None, description="With `html`, and perhaps `text`, instead of `files`.")
    html: str | None = None
    text: str | None = Field(None, description="Made from the HTML when missing.")
    files: dict[str, str] | None = Field(None, description="As of a draft.", json_schema_extra=_NAMED)
    settings: SettingsIn | None = None
    variables: dict[str, Any] = Field(default_factory=dict)
    locale: Annotated[str, StringConstraints(max_length=35, pattern=value.LOCALE)] | None = None


# -- answers -----------------------------------------------------------------------------------------------------------


class RemarkOut(BaseModel):
    """Something that could be better."""

    severity: Severity = Field(description="An `error` keeps it from being published.")
    code: str
    file: str
    line: int | None
    message: str
    advice: str
    locale: str | None


class TemplateOut(BaseModel):
    """A template as it stands, without its text."""

    id: UUID
    slug: str
    name: str
    category: str
    number: int = Field(description="Of the current version; 0: nothing is published.")
    has_draft: bool
    updated_by: str
    updated_at: datetime
    deleted_at: datetime | None


class TemplatePageOut(BaseModel):
    """A page of templates, the one that was made last first."""

    templates: list[TemplateOut]
    next: UUID | None


class CurrentOut(TemplateOut):
    """A template as it stands."""

    seen: str = Field(description="Say it when you save or publish: 409 if anything has changed since.")
    content_hash: str | None = Field(description="Of the current version, in hexadecimal digits.")
    locales: list[str]
    settings: dict[str, Any]


class SourceOut(BaseModel):
    """The text of a template, what it is shown with, and how it is sent."""

    files: dict[str, str]
    sample: dict[str, Any]
    settings: dict[str, Any]


class DraftOut(SourceOut):
    """What is being edited, without layouts; the current version while there is no draft."""

    slug: str
    number: int
    revision: int = Field(description="0: there is no draft.")
    base_number: int | None = Field(description="The version that it was made from.")
    seen: str
    updated_by: str | None
    updated_at: datetime | None


class SavedOut(DraftOut):
    """A draft that was saved."""

    remarks: list[RemarkOut]
    variables_schema: dict[str, Any]


class PreviewOut(BaseModel):
    """A template as a mail."""

    subject: str
    html: str | None
    text: str
    source: str = Field(description="The whole mail as it would leave, but for its Message-ID.")
    size: int = Field(description="Octets of the whole mail.")


class RenderOut(BaseModel):
    """Three parts, and what could be better."""

    subject: str
    html: str
    text: str
    warnings: list[RemarkOut]
    variables_schema: dict[str, Any]


class VersionOut(BaseModel):
    """A version, without its text."""

    number: int
    content_hash: str
    note: str
    published_by: str
    published_at: datetime


class VersionPageOut(BaseModel):
    """A page of versions, newest first."""

    versions: list[VersionOut]
    next: UUID | None


class WholeVersionOut(VersionOut, SourceOut):
    """A version with all that was pinned: layouts are among its files."""

    variables_schema: dict[str, Any]


class PublishedOut(VersionOut):
    """A version that was just published."""

    remarks: list[RemarkOut]
    report: dict[str, Any] = Field(description="Whose mail changes, and how.")


class FileDifferenceOut(BaseModel):
    """A file that is not the same."""

    file: str
    change: FileChange
    diff: str = Field(description="Unified.")


class VariableDifferenceOut(BaseModel):
    """Variables, as dotted paths."""

    added: list[str]
    removed: list[str]


class DiffOut(BaseModel):
    """What differs between two states of a template."""

    from_: str = Field(alias="from")
    to: str
    files: list[FileDifferenceOut] = Field(description="Settings and sample as `template.toml` and `sample.json`.")
    variables: VariableDifferenceOut


def remarks_of(remarks: list[Remark]) -> list[dict[str, Any]]:
    """Remarks as an answer has them."""
    found: list[dict[str, Any]] = msgspec.to_builtins(remarks)
    return found
