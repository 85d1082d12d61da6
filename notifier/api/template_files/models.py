"""The request and reply models of a folder of templates."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from notifier.api import fields, request_model
from notifier.api.assets.models import NAME_PATTERN, ImageIn
from notifier.api.request_model import RequestModel
from notifier.api.templates.models import SourceOut
from notifier.api.templates.request_models import FILES, MAX_NOTE_LENGTH, SLUG_PATTERN, SourceIn
from notifier.templating.edit_rules import MAX_LAYOUTS, MAX_TEMPLATES
from notifier.templating.sync.sync_record import BaseRecord, FileOrigin, PushChange
from notifier.templating.validation import MAX_SOURCE_BYTES

MAX_PUSHED_TEMPLATES = 200
MAX_PUSHED_IMAGES = 100
LAYOUT_PATTERN = r"^[a-z][a-z0-9_-]{0,63}\.(html|txt)$"
_MAX_LAYOUT_NAME = 80  # characters, with the folder
_HASH_LENGTH = 64
_Hash = Annotated[str, StringConstraints(max_length=_HASH_LENGTH)]
_Slugs = fields.document_field(propertyNames={"pattern": SLUG_PATTERN, "maxLength": 64})
_TEMPLATE: JsonValue = {"files": FILES, "sample": {"name": "Ada"}, "settings": {"name": "Greeting"}}
_EXAMPLE: JsonValue = {"templates": {"greeting": _TEMPLATE}, "dry_run": True}


class FileOriginIn(RequestModel):
    """The version that a template's files came from."""

    number: fields.WholeNumber = Field(ge=0, le=2**31 - 1, description="0: a draft that was never published.")
    hash: _Hash
    files: _Hash


class FolderBaseIn(RequestModel):
    """What the files of the folder came from, as in `_base.json`."""

    templates: Annotated[dict[str, FileOriginIn], Field(max_length=MAX_TEMPLATES), _Slugs] = Field(default_factory=dict)
    layouts: Annotated[
        dict[str, _Hash],
        Field(max_length=MAX_LAYOUTS),
        fields.document_field(propertyNames={"maxLength": _MAX_LAYOUT_NAME}),
    ] = Field(default_factory=dict, description="The SHA-256 of each text, by `_layouts/` and the name.")

    def build_record(self) -> BaseRecord:
        """Build the record."""
        origins = {slug: FileOrigin(**origin.model_dump()) for slug, origin in self.templates.items()}
        return BaseRecord(templates=origins, layouts=self.layouts, exists=True)


class PushIn(RequestModel):
    """Templates of a folder to publish, all or none."""

    limits = request_model.FOLDER_LIMITS
    keep_fractions = True
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    templates: Annotated[dict[str, SourceIn], Field(max_length=MAX_PUSHED_TEMPLATES), _Slugs]
    layouts: Annotated[
        dict[str, Annotated[str, StringConstraints(max_length=MAX_SOURCE_BYTES)]],
        Field(max_length=MAX_LAYOUTS),
        fields.document_field(propertyNames={"pattern": LAYOUT_PATTERN, "maxLength": _MAX_LAYOUT_NAME}),
    ] = Field(default_factory=dict, description="The layouts that these templates use, by name.")
    images: Annotated[
        dict[str, ImageIn],
        Field(max_length=MAX_PUSHED_IMAGES),
        fields.document_field(propertyNames={"pattern": NAME_PATTERN, "maxLength": 64}),
    ] = Field(default_factory=dict, description="The images of the folder that these templates show, by name.")
    base: FolderBaseIn | None = Field(None, description="Versions that the files came from may be replaced.")
    dry_run: bool = Field(default=False, description="Only report what would change, and what would be refused.")
    overwrite: bool = Field(default=False, description="Replace newer edits and drafts as well.")
    only_new: bool = Field(default=False, description="Change no template or layout that exists.")
    note: str = Field("", max_length=MAX_NOTE_LENGTH, description="The reason, shown with the versions.")
    force_reason: str = Field(
        "", max_length=MAX_NOTE_LENGTH, description="Publish although callers would break; needs the scope `admin`."
    )


class PushResultOut(BaseModel):
    """What a push did, or would do, to a template or a layout."""

    slug: str = Field(description="Of a template; of a layout `_layouts/` and its name.")
    number: int = Field(description="Of the version, or the revision of the layout; of a dry run: what it would be.")
    change: PushChange
    why: str = Field(description="Why it was refused.")
    differs: list[str] = Field(description="One sentence for each difference to what is replaced.")


class PushedOut(BaseModel):
    """What a push did, or would do. Layouts that stay as they are, are left out."""

    results: list[PushResultOut]


class StoredFilesOut(BaseModel):
    """A template with the files of its current version and of its draft."""

    id: UUID
    slug: str
    number: int = Field(description="The number of the current version; 0: nothing is published.")
    content_hash: str = Field(description="The hash of the current version; empty: nothing is published.")
    note: str
    published_by: str
    published_at: datetime | None
    variables: list[str] = Field(description="The variables of the current version.", examples=[["name", "product"]])
    version: SourceOut | None = Field(description="The current version, with its layouts.")
    draft: SourceOut | None = Field(description="The draft, without layouts.")
    has_draft: bool
    updated_by: str = Field(description="Who saved the draft.")
    updated_at: datetime | None
    deleted_at: datetime | None
    earlier: list[str] = Field(description="With `history`: the hashes of the own files of all versions.")


class StoredFilesPageOut(BaseModel):
    """A page of templates with their files, the newest first."""

    templates: list[StoredFilesOut]
    next: UUID | None
