"""Templates: slugs, drafts, and the immutable numbered versions that were published."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_enum_type, build_json_type
from notifier.states import AssetMode, AssetStatus, Category, Priority, WhenUncertain


class Template(Table, table=True):
    """A slug, and the number of the version that new notifications use."""

    __tablename__ = "template"

    id: UUID = Field(primary_key=True)
    slug: str = Field(max_length=64, unique=True)
    current_number: int | None = None  # None: nothing has been published yet
    created_at: datetime = Field(sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # no new notifications; the old ones stay


class TemplateDraft(Table, table=True):
    """The edited source. No row: there are no changes since the current version."""

    __tablename__ = "template_draft"

    template_id: UUID = Field(primary_key=True, foreign_key="template.id")
    source: dict[str, Any] = Field(sa_type=build_json_type())  # without layouts and pinned assets
    revision: int  # goes up with every save; a save names the revision that it is based on
    base_number: int | None = None  # the version that the draft is based on
    faults: list[dict[str, Any]] | None = Field(default=None, sa_type=build_json_type())  # None: it can be rendered
    updated_by: str = Field(max_length=128)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class TemplateVersion(Table, table=True):
    """An immutable source with all parts, locales and layouts, and the schema of its variables."""

    __tablename__ = "template_version"
    __table_args__ = (UniqueConstraint("template_id", "number"),)

    id: UUID = Field(primary_key=True)
    template_id: UUID = Field(foreign_key="template.id")
    number: int
    content_hash: str = Field(max_length=64)
    source: dict[str, Any] = Field(sa_type=build_json_type())
    variables_schema: dict[str, Any] = Field(sa_type=build_json_type())
    subject_variables: list[list[str]] = Field(sa_type=build_json_type())
    category: Category = Field(sa_type=build_enum_type(Category, "category"))
    priority: Priority = Field(sa_type=build_enum_type(Priority, "priority"))
    expires_after: int | None = None
    when_uncertain: WhenUncertain = Field(sa_type=build_enum_type(WhenUncertain, "when_uncertain"))
    keep_content_days: int | None = None  # after the end; None: as the service says
    sender: str | None = Field(default=None, max_length=640)  # "Name <address>", unless a request says otherwise
    reply_to: str | None = Field(default=None, max_length=640)
    note: str = Field(default="", max_length=500)  # why it was published
    published_by: str = Field(max_length=128)
    published_at: datetime = Field(sa_type=UtcDateTime)


class TemplateLayout(Table, table=True):
    """A text that templates share. A version contains a copy of the layouts that it uses."""

    __tablename__ = "template_layout"

    name: str = Field(primary_key=True, max_length=128)  # `_layouts/…`
    text: str
    revision: int
    updated_by: str = Field(max_length=128)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class TemplateUse(Table, table=True):
    """When a key last used a template, to within a minute."""

    __tablename__ = "template_use"

    template_id: UUID = Field(primary_key=True)
    key_id: UUID = Field(primary_key=True)
    service_id: UUID
    last_used_at: datetime = Field(sa_type=UtcDateTime)


class Asset(Table, table=True):
    """An image for templates: the upload, the wanted size, and the result. The bytes are in other tables."""

    __tablename__ = "asset"

    id: UUID = Field(primary_key=True)
    name: str = Field(max_length=64, unique=True)
    status: AssetStatus = Field(sa_type=build_enum_type(AssetStatus, "status"))
    detail: str = Field(default="", max_length=500)  # why it failed
    progress: int = 0  # per cent
    original: bytes  # SHA-256 of what was uploaded
    mode: AssetMode = Field(sa_type=build_enum_type(AssetMode, "mode"))
    width: int | None = None  # CSS pixels; None: its own width, up to what a mail can show
    height: int | None = None
    operations: list[dict[str, Any]] | None = Field(default=None, sa_type=build_json_type())  # instead of mode and size
    files: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())  # "1x", "2x" → the result
    revision: int  # goes up with every upload
    updated_by: str = Field(max_length=128)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class AssetFile(Table, table=True):
    """The bytes of a processed image, stored once for each SHA-256 and kept for versions that still show them.

    Not in the table of attachments, because these files are public.
    """

    __tablename__ = "asset_file"

    sha256: bytes = Field(primary_key=True)
    content_type: str = Field(max_length=64)
    octets: bytes
    created_at: datetime = Field(sa_type=UtcDateTime)  # renewed when an image is converted to it or gives it up
