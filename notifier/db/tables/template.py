"""Templates: a slug, what is being edited under it, and the immutable numbered versions that were published."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from notifier.db.column_types import UtcDateTime, build_enum_type, build_json_type
from notifier.db.tables.base import Table
from notifier.states import AssetMode, AssetStatus, Category, Priority, WhenUncertain


class Template(Table, table=True):
    """A slug and the number of the version that new notifications get."""

    __tablename__ = "template"

    id: UUID = Field(primary_key=True)
    slug: str = Field(max_length=64, unique=True)
    current_number: int | None = None  # None: nothing has been published yet
    created_at: datetime = Field(sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # no new notifications; the old ones stay


class TemplateDraft(Table, table=True):
    """What is being edited; there is none while the newest version is all there is."""

    __tablename__ = "template_draft"

    template_id: UUID = Field(primary_key=True, foreign_key="template.id")
    source: dict[str, Any] = Field(sa_type=build_json_type())  # without layouts and pinned assets
    revision: int  # goes up with every save: who saves names the one that they have seen
    base_number: int | None = None  # the version that it was made from
    updated_by: str = Field(max_length=128)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class TemplateVersion(Table, table=True):
    """Immutable text: all parts, locales and layouts, pinned together with the schema of its variables."""

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
    sender: str | None = Field(default=None, max_length=640)  # "Name <address>", unless a request says otherwise
    reply_to: str | None = Field(default=None, max_length=640)
    note: str = Field(default="", max_length=500)  # why it was published
    published_by: str = Field(max_length=128)
    published_at: datetime = Field(sa_type=UtcDateTime)


class TemplateLayout(Table, table=True):
    """A text that templates share; a version that was published with it keeps a copy of its own."""

    __tablename__ = "template_layout"

    name: str = Field(primary_key=True, max_length=128)  # `_layouts/…`
    text: str
    revision: int
    updated_by: str = Field(max_length=128)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class TemplateUse(Table, table=True):
    """Which key uses which template, to within a minute."""

    __tablename__ = "template_use"

    template_id: UUID = Field(primary_key=True)
    key_id: UUID = Field(primary_key=True)
    service_id: UUID
    last_used_at: datetime = Field(sa_type=UtcDateTime)


class Asset(Table, table=True):
    """An image for templates: what was uploaded, what it shall be, and what became of it; its octets are apart."""

    __tablename__ = "asset"

    id: UUID = Field(primary_key=True)
    name: str = Field(max_length=64, unique=True)
    status: AssetStatus = Field(sa_type=build_enum_type(AssetStatus, "status"))
    detail: str = Field(default="", max_length=500)  # why it failed
    progress: int = 0  # per cent
    original: bytes  # SHA-256 of what was uploaded
    mode: AssetMode = Field(sa_type=build_enum_type(AssetMode, "mode"))
    width: int | None = None  # wanted, CSS pixels; None: as it is, within what a mail can show
    height: int | None = None
    files: dict[str, Any] | None = Field(default=None, sa_type=build_json_type())  # "1x", "2x" → what was made
    revision: int  # goes up with every upload
    updated_by: str = Field(max_length=128)
    updated_at: datetime = Field(sa_type=UtcDateTime)


class AssetFile(Table, table=True):
    """The octets that an image has become, once for each SHA-256; kept when it changes, for versions show them still.

    Apart from what mails carry: anybody may see these.
    """

    __tablename__ = "asset_file"

    sha256: bytes = Field(primary_key=True)
    content_type: str = Field(max_length=64)
    octets: bytes
    created_at: datetime = Field(sa_type=UtcDateTime)
