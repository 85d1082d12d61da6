"""The reply models of templates and of the publish gate."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from notifier.rendering.line_diff import MAX_DIFF_BYTES
from notifier.template_language.template_source import FaultCode
from notifier.template_lint.lint_remark import LintRemark, Severity
from notifier.templating.source_diff import FileChange


class RemarkOut(BaseModel):
    """A remark of a lint rule."""

    severity: Severity = Field(description="An `error` prevents publishing.")
    code: str
    file: str
    line: int | None
    message: str
    advice: str
    locale: str | None


class CallerOut(BaseModel):
    """A service that has used a template."""

    service: str
    last_used_at: datetime = Field(description="To within a minute.")


class TemplateOut(BaseModel):
    """A template without its text."""

    id: UUID
    slug: str
    name: str
    category: str
    subject: str = Field(description="The subject as it is written in the draft, or in the current version.")
    number: int = Field(description="The number of the current version; 0: nothing is published.")
    has_draft: bool
    updated_by: str
    updated_at: datetime
    deleted_at: datetime | None
    callers: list[CallerOut] = Field(description="The services that have used it, the latest use first.")


class TemplatePageOut(BaseModel):
    """A page of templates, the newest first."""

    templates: list[TemplateOut]
    next: UUID | None


class CurrentOut(TemplateOut):
    """A template with its settings."""

    revision: str = Field(description="Send it when you save or publish: 409 if anything has changed since.")
    content_hash: str | None = Field(description="The hash of the current version, in hexadecimal digits.")
    locales: list[str]
    settings: dict[str, Any]


class SourceOut(BaseModel):
    """The files, the sample and the settings of a template."""

    files: dict[str, str]
    sample: dict[str, Any]
    settings: dict[str, Any]


class DraftFaultOut(BaseModel):
    """Why a draft that was saved unfinished cannot be rendered."""

    part: str = Field(description="The file that is at fault, or `mail`.")
    line: int | None
    column: int | None
    message: str
    advice: str
    code: FaultCode


class DraftOut(SourceOut):
    """The draft without layouts; the current version if there is no draft."""

    slug: str
    number: int
    has_draft: bool = Field(description="False: this is the current version.")
    base_number: int | None = Field(description="The number of the version that the draft was made from.")
    revision: str = Field(description="Send it when you save or publish: 409 if anything has changed since.")
    updated_by: str | None
    updated_at: datetime | None
    faults: list[DraftFaultOut] = Field(description="Why it cannot be published; empty: it can be rendered.")


class SavedOut(DraftOut):
    """A draft that was saved."""

    remarks: list[RemarkOut]
    variables_schema: dict[str, Any]


class PreviewOut(BaseModel):
    """A template as a mail."""

    subject: str
    html: str | None
    text: str
    source: str = Field(description="The whole mail as it would be sent, except for its Message-ID.")
    size: int = Field(description="Bytes of the whole mail.")


class RenderOut(BaseModel):
    """The three parts, and warnings."""

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
    """A version with its text; layouts are among its files."""

    variables_schema: dict[str, Any]


class PublishedOut(VersionOut):
    """A version that was just published."""

    remarks: list[RemarkOut]
    report: dict[str, Any] = Field(description="The report of the publish gate: whose mail changes, and how.")


class FileDifferenceOut(BaseModel):
    """A file that differs."""

    file: str
    change: FileChange
    diff: str = Field(
        description=(
            f"Unified diff. All diffs of a reply have at most {MAX_DIFF_BYTES // 1024} KiB together, as JSON; a last"
            " line that begins with a backslash says that something was left out."
        )
    )


class VariableDifferenceOut(BaseModel):
    """Variables, as dotted paths."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"added": ["order.carrier"], "removed": []}]})

    added: list[str]
    removed: list[str]


class DiffOut(BaseModel):
    """What differs between two states of a template."""

    from_: str = Field(alias="from")
    to: str
    files: list[FileDifferenceOut] = Field(description="Settings and sample as `template.toml` and `sample.json`.")
    variables: VariableDifferenceOut


class RefusalOut(BaseModel):
    """A reason for which requests would be answered 422."""

    pointer: str = Field(description="JSON pointer; `*` stands for any place in a list.")
    code: str
    detail: str
    requests: int = Field(description="How many requests.")
    keys: list[str] = Field(description="The ids of the keys that made these requests.")


class FailureOut(BaseModel):
    """A place where rendering fails."""

    part: str
    line: int | None
    message: str
    requests: int
    keys: list[str]


class TriedOut(BaseModel):
    """The result for the requests of one service."""

    service_id: UUID
    service: str
    looked: int = Field(description="How many requests were tried: the newest, at most 200.")
    refused: int = Field(description="How many would be answered 422, but are accepted today.")
    failing: int = Field(description="How many could not be rendered, but can be today.")
    broken_already: int = Field(description="How many are refused or fail today already.")
    changed: int = Field(description="How many mails differ.")
    untried: int = Field(description="How many were not rendered, because another one took too long or time ran out.")
    refusals: list[RefusalOut]
    failures: list[FailureOut]


class ExampleOut(BaseModel):
    """A mail that changes, for one kind of change."""

    service: str
    locale: str | None
    changed: list[str] = Field(description="Which of `subject`, `html` and `text`.")
    alike: int = Field(description="How many mails change in this way.")
    diffs: dict[str, str] = Field(description="A unified diff of each part.")
    note: str = Field(description="Why there is no diff.")


class VariableOut(BaseModel):
    """A variable of a template."""

    path: str = Field(description="A dotted path; an item of a list has the path of the list.")
    required: bool
    type: str = Field(description="The JSON type; empty: any.")


class AlteredOut(BaseModel):
    """A variable that differs."""

    before: VariableOut
    after: VariableOut


class UsingOut(BaseModel):
    """A key that has used the template lately."""

    key_id: UUID
    key: str = Field(description="The name of the key.")
    service: str
    last_used_at: datetime = Field(description="To within a minute.")


class GateOut(BaseModel):
    """What publishing would do to those who use the template."""

    slug: str
    content_hash: str = Field(description="The hash of the source that was tried.")
    number: int | None = Field(description="The version that it was compared with; null: nothing is published.")
    blocks: bool = Field(description="True: something that works today would not work any more.")
    reasons: list[str]
    looked: int
    changed: int
    services: list[TriedOut]
    examples: list[ExampleOut]
    added: list[VariableOut]
    removed: list[VariableOut]
    altered: list[AlteredOut]
    keys: list[UsingOut] = Field(description="The keys that have used the template within thirty days.")
    masked: bool = Field(description="True: secret values are hidden in the diffs.")


def format_remarks(remarks: list[LintRemark]) -> list[dict[str, Any]]:
    """Convert remarks to JSON."""
    converted: list[dict[str, Any]] = msgspec.to_builtins(remarks)
    return converted
