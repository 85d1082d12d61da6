"""The replies about templates, layouts and images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notifier.client.api_call import Reply


@dataclass(frozen=True, kw_only=True)
class Remark(Reply):
    """A remark about a template."""

    severity: str  # error (it cannot be published) or warning
    code: str
    file: str
    line: int | None = None
    message: str
    advice: str = ""
    locale: str | None = None


@dataclass(frozen=True, kw_only=True)
class TemplateCaller(Reply):
    """A service that has used a template."""

    service: str
    last_used_at: datetime  # to within a minute


@dataclass(frozen=True, kw_only=True)
class Template(Reply):
    """A template without its text."""

    id: str
    slug: str
    name: str
    category: str
    subject: str = ""  # as it is written in the draft, or in the current version
    number: int  # of the current version; 0: none
    has_draft: bool = False
    updated_by: str | None = None
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    callers: tuple[TemplateCaller, ...] = ()  # the latest use first


@dataclass(frozen=True, kw_only=True)
class TemplateState(Template):
    """A template with its current version."""

    revision: str  # pass it when you save or publish
    content_hash: str | None = None  # of the current version
    locales: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DraftFault(Reply):
    """Why a draft that was saved unfinished cannot be rendered."""

    part: str
    line: int | None = None
    column: int | None = None
    message: str
    advice: str = ""
    code: str


@dataclass(frozen=True, kw_only=True)
class TemplateDraft(Reply):
    """A draft, or the current version if there is no draft."""

    slug: str
    number: int
    has_draft: bool = False
    revision: str  # pass it when you save or publish
    base_number: int | None = None
    updated_by: str | None = None
    updated_at: datetime | None = None
    files: Mapping[str, str]
    sample: Mapping[str, Any]
    settings: Mapping[str, Any]
    faults: tuple[DraftFault, ...] = ()  # not empty: it cannot be published


@dataclass(frozen=True, kw_only=True)
class SavedDraft(TemplateDraft):
    """A saved draft, with remarks."""

    remarks: tuple[Remark, ...] = ()
    variables_schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TemplatePreview(Reply):
    """A template rendered as a mail."""

    subject: str
    html: str | None
    text: str
    source: str = field(repr=False)  # the whole mail
    size: int  # bytes


@dataclass(frozen=True, kw_only=True)
class RenderedSource(Reply):
    """The three rendered parts, with warnings."""

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
    """A version with everything that was pinned."""

    files: Mapping[str, str]
    sample: Mapping[str, Any]
    settings: Mapping[str, Any]
    variables_schema: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PublishedVersion(TemplateVersion):
    """A version that was just published, with remarks."""

    remarks: tuple[Remark, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)  # which mail changes, and how


@dataclass(frozen=True, kw_only=True)
class TemplateSource(Reply):
    """The files, the sample and the settings of a template."""

    files: Mapping[str, str]
    sample: Mapping[str, Any]
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TemplateFiles(Reply):
    """A template with the files of its current version and of its draft."""

    id: str
    slug: str
    number: int  # of the current version; 0: none
    content_hash: str = ""  # of the current version
    note: str = ""
    published_by: str = ""
    published_at: datetime | None = None
    variables: tuple[str, ...] = ()
    version: TemplateSource | None = None  # with its layouts
    draft: TemplateSource | None = None  # without layouts
    has_draft: bool = False
    updated_by: str = ""  # who saved the draft
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    earlier: tuple[str, ...] = ()  # hashes of the own files of all versions


@dataclass(frozen=True, kw_only=True)
class PushResult(Reply):
    """What a push did, or would do, to a template or a layout."""

    slug: str  # of a layout: `_layouts/` and its name
    number: int  # of the version, or the revision of the layout
    change: str  # created, published, unchanged, kept, refused
    why: str = ""  # it was refused
    differs: tuple[str, ...] = ()  # sentences


@dataclass(frozen=True, kw_only=True)
class Pushed(Reply):
    """What a push did, or would do."""

    results: tuple[PushResult, ...]


@dataclass(frozen=True, kw_only=True)
class GateReport(Reply):
    """What publishing would change for the callers of a template."""

    slug: str = ""
    content_hash: str | None = None  # of the text that was tried
    number: int | None = None  # of the version that was tried; None: the draft
    blocks: bool  # a request that works today would fail
    reasons: tuple[str, ...] = ()
    looked: int = 0  # requests that were tried
    changed: int = 0  # mails that differ
    services: tuple[Mapping[str, Any], ...] = ()  # whose requests would be refused, and why
    examples: tuple[Mapping[str, Any], ...] = ()  # of changed mails, with diffs
    added: tuple[Mapping[str, Any], ...] = ()  # variables
    removed: tuple[Mapping[str, Any], ...] = ()
    altered: tuple[Mapping[str, Any], ...] = ()
    keys: tuple[Mapping[str, Any], ...] = ()  # that used it in the last thirty days
    masked: bool = True  # secret values are hidden


@dataclass(frozen=True, kw_only=True)
class FileDifference(Reply):
    """A file that differs."""

    file: str
    change: str  # added, removed, changed
    diff: str  # unified


@dataclass(frozen=True, kw_only=True)
class VariableDifference(Reply):
    """Variables that differ, as dotted paths."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TemplateDifference(Reply):
    """The differences between two versions of a template."""

    from_: str
    to: str
    files: tuple[FileDifference, ...]
    variables: VariableDifference


@dataclass(frozen=True, kw_only=True)
class Layout(Reply):
    """A layout that templates share."""

    name: str
    revision: int
    updated_by: str | None = None
    updated_at: datetime | None = None
    text: str | None = field(default=None, repr=False)  # None in a list
    used_by: tuple[str, ...] = ()  # templates that get the change when they are published next


@dataclass(frozen=True, kw_only=True)
class Asset(Reply):
    """An image for templates."""

    id: str
    name: str
    status: str  # pending, ready or failed
    detail: str = ""  # why it failed, or what was removed
    progress: int = 0  # per cent
    mode: str = "fit"
    width: int | None = None
    height: int | None = None
    operations: tuple[Mapping[str, Any], ...] = ()  # instead of mode, width and height
    files: Mapping[str, Any] = field(default_factory=dict)  # "1x", "2x": sha256, content_type, width, height, size
    revision: int
    updated_by: str
    updated_at: datetime
