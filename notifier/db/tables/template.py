"""Templates: a slug, and the immutable numbered versions that were published under it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from notifier.db.columns import UtcDateTime, closed_set, json_type
from notifier.db.tables.base import Table
from notifier.states import Category, Priority, WhenUncertain


class Template(Table, table=True):
    """A slug and the number of the version that new notifications get."""

    __tablename__ = "template"

    id: UUID = Field(primary_key=True)
    slug: str = Field(max_length=64, unique=True)
    current_number: int
    created_at: datetime = Field(sa_type=UtcDateTime)


class TemplateVersion(Table, table=True):
    """Immutable text: all parts, locales and layouts, pinned together with the schema of its variables."""

    __tablename__ = "template_version"
    __table_args__ = (UniqueConstraint("template_id", "number"),)

    id: UUID = Field(primary_key=True)
    template_id: UUID = Field(foreign_key="template.id")
    number: int
    content_hash: str = Field(max_length=64)
    source: dict[str, Any] = Field(sa_type=json_type())
    variables_schema: dict[str, Any] = Field(sa_type=json_type())
    subject_variables: list[list[str]] = Field(sa_type=json_type())
    category: Category = Field(sa_type=closed_set(Category, "category"))
    priority: Priority = Field(sa_type=closed_set(Priority, "priority"))
    expires_after: int | None = None
    when_uncertain: WhenUncertain = Field(sa_type=closed_set(WhenUncertain, "when_uncertain"))
    published_by: str = Field(max_length=128)
    published_at: datetime = Field(sa_type=UtcDateTime)
