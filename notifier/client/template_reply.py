"""What Notifier answers about templates and layouts, as frozen values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notifier.client.reply_reader import Reply


@dataclass(frozen=True, kw_only=True)
class Remark(Reply):
    """Something about a template that could be better."""

    severity: str  # error: it cannot be published so; warning
    code: str
    file: str
    line: int | None = None
    message: str
    advice: str = ""
    locale: str | None = None


@dataclass(frozen=True, kw_only=True)
class Template(Reply):
    """A template as it stands, without its text."""

    id: str
    slug: str
    name: str
    category: str
    number: int  # of the current version; 0: nothing is published
    has_draft: bool = False
    updated_by: str | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class TemplateState(Template):
    """The same, with what you say when you save or publish."""

    revision: str
    content_hash: str | None = None  # of the current version
    locales: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TemplateDraft(Reply):
    """What is being edited; the current version while there is no draft."""

    slug: str
    number: int
    has_draft: bool = False
    revision: str  # what you say when you save or publish
    base_number: int | None = None
    updated_by: str | None = None
    updated_at: datetime | None = None
    files: Mapping[str, str]
    sample: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SavedDraft(TemplateDraft):
    """A draft that was saved."""

    remarks: tuple[Remark, ...] = ()
    variables_schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TemplatePreview(Reply):
    """A template as a mail."""

    subject: str
    html: str | None
    text: str
    source: str = field(repr=False)  # the whole mail
    size: int  # octets


@dataclass(frozen=True, kw_only=True)
class RenderedSource(Reply):
    """The three parts, and what could be better."""

    subject: str
    html: str
    text: str
    warnings: tuple[Remark, ...] = ()
    variables_schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TemplateVersion(Reply):
    """A version, without its text."""

    number: int
    content_hash: str
    note: str = ""
    published_by: str | None = None
    published_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class WholeTemplateVersion(TemplateVersion):
    """A version with all that was pinned."""

    files: Mapping[str, str]
    sample: Mapping[str, Any]
    settings: Mapping[str, Any]
    variables_schema: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PublishedVersion(TemplateVersion):
    """A version that was just published."""

    remarks: tuple[Remark, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)  # whose mail changes, and how


@dataclass(frozen=True, kw_only=True)
class GateReport(Reply):
    """What publishing would do to those who use the template."""

    blocks: bool  # something that works today would not
    reasons: tuple[str, ...] = ()
    looked: int = 0  # requests that it was tried on
    changed: int = 0  # mails that differ
    services: tuple[Mapping[str, Any], ...] = ()  # who would be refused, and for what
    examples: tuple[Mapping[str, Any], ...] = ()  # of mails that change, with diffs
    added: tuple[Mapping[str, Any], ...] = ()  # variables
    removed: tuple[Mapping[str, Any], ...] = ()
    altered: tuple[Mapping[str, Any], ...] = ()
    keys: tuple[Mapping[str, Any], ...] = ()  # that have used it within thirty days
    masked: bool = True  # what is secret is hidden


@dataclass(frozen=True, kw_only=True)
class FileDifference(Reply):
    """A file that is not the same."""

    file: str
    change: str  # added, removed, changed
    diff: str  # unified


@dataclass(frozen=True, kw_only=True)
class VariableDifference(Reply):
    """Variables, as dotted paths."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TemplateDifference(Reply):
    """What differs between two states of a template."""

    from_: str
    to: str
    files: tuple[FileDifference, ...]
    variables: VariableDifference


@dataclass(frozen=True, kw_only=True)
class Layout(Reply):
    """A text that templates share."""

    name: str
    revision: int
    updated_by: str | None = None
    updated_at: datetime | None = None
    text: str | None = field(default=None, repr=False)  # None in a list
    used_by: tuple[str, ...] = ()  # templates that change with it when they are published next
