"""The calls about templates and layouts; the key needs the scopes `templates:read`, `:edit` or `:publish`."""

import re
from collections.abc import Mapping
from typing import Any, TypedDict, TypeVar, Unpack
from uuid import UUID

from notifier.client.call import DELETE, GET, POST, PUT, Call, PageCall, page_of, read_as, read_nothing, segment
from notifier.client.errors import UnsendableError
from notifier.client.reading import decode
from notifier.client.reply import Submitted
from notifier.client.request import body_of, query_of
from notifier.client.template_reply import (
    GateReport,
    Layout,
    PublishedVersion,
    RenderedSource,
    SavedDraft,
    Template,
    TemplateDifference,
    TemplateDraft,
    TemplatePreview,
    TemplateState,
    TemplateVersion,
    WholeTemplateVersion,
)

T = TypeVar("T")
_TEMPLATES = "/v1/templates"
_LAYOUTS = "/v1/layouts"
_LAYOUT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9]+)?")


class Look(TypedDict, total=False):
    """How a template is looked at."""

    variables: Mapping[str, Any] | None  # None: those of its sample
    locale: str | None
    version: int | None  # None: the draft


class Unsaved(TypedDict, total=False):
    """Text that is saved nowhere: three parts, or all files of a template."""

    subject: str | None
    html: str | None
    text: str | None
    files: Mapping[str, str] | None
    settings: Mapping[str, Any] | None
    variables: Mapping[str, Any]
    locale: str | None


def templates(
    *, limit: int | None = None, before: str | UUID | None = None, include_deleted: bool | None = None
) -> PageCall[Template]:
    """All templates, the one that was made last first; with `include_deleted` also those that were deleted."""
    return Call(
        GET,
        _TEMPLATES,
        page_of(Template, "templates"),
        query=query_of({"limit": limit, "before": before, "include_deleted": include_deleted}),
    )


def template(slug: str, /) -> Call[TemplateState]:
    """How one stands."""
    return Call(GET, _path(slug), read_as(TemplateState))


def delete_template(slug: str, /) -> Call[None]:
    """Take no new notifications with it; what was accepted is sent as it was."""
    return Call(DELETE, _path(slug), read_nothing)


def draft(slug: str, /) -> Call[TemplateDraft]:
    """What is being edited."""
    return Call(GET, _path(slug, "draft"), read_as(TemplateDraft))


def save_draft(
    slug: str,
    /,
    *,
    files: Mapping[str, str],
    settings: Mapping[str, Any],
    sample: Mapping[str, Any] | None = None,
    seen: str = "",
) -> Call[SavedDraft]:
    """Save it. `ConflictError` if it has changed since `seen`; its `problem.raw` has both sides."""
    return Call(
        PUT,
        _path(slug, "draft"),
        read_as(SavedDraft),
        body=body_of({"files": files, "settings": settings, "sample": sample, "seen": seen}),
    )


def discard_draft(slug: str, /, *, seen: str) -> Call[None]:
    """Forget the draft."""
    return Call(DELETE, _path(slug, "draft"), read_nothing, query={"seen": seen})


def preview(slug: str, /, *, to: str | None = None, **wanted: Unpack[Look]) -> Call[TemplatePreview]:
    """The draft, or a version, as a mail to that address, which nobody sends."""
    return Call(
        POST, _path(slug, "preview"), read_as(TemplatePreview), body=body_of({"to": to, **wanted}), same_twice=True
    )


def gate(slug: str, /, *, version: int | None = None, unmasked: bool = False) -> Call[GateReport]:
    """Try the draft, or an old version, on what services have asked for: whom publishing it would break, and how."""
    return Call(
        POST,
        _path(slug, "gate"),
        read_as(GateReport),
        body=body_of({"version": version, "unmasked": unmasked}),
        same_twice=True,
    )


def publish(slug: str, /, *, seen: str, note: str = "", force_reason: str = "") -> Call[PublishedVersion]:
    """Make the draft what new notifications get. `ConflictError` if callers would break, or it was changed."""
    return Call(
        POST,
        _path(slug, "publish"),
        read_as(PublishedVersion),
        body=body_of({"seen": seen, "note": note, "force_reason": force_reason}),
    )


def restore(
    slug: str, version: int, /, *, note: str = "", seen: str | None = None, force_reason: str = ""
) -> Call[PublishedVersion]:
    """Publish an old version's very text as the next one."""
    return Call(
        POST,
        _path(slug, "restore"),
        read_as(PublishedVersion),
        body=body_of({"version": version, "note": note, "seen": seen, "force_reason": force_reason}),
    )


def undelete(slug: str, /) -> Call[Template]:
    """Have a deleted template back as it was."""
    return Call(POST, _path(slug, "restore"), read_as(Template), body=body_of({}), same_twice=True)


def versions(slug: str, /, *, limit: int | None = None, before: str | UUID | None = None) -> PageCall[TemplateVersion]:
    """What was published, newest first."""
    return Call(
        GET,
        _path(slug, "versions"),
        page_of(TemplateVersion, "versions"),
        query=query_of({"limit": limit, "before": before}),
    )


def version(slug: str, number: int | str, /) -> Call[WholeTemplateVersion]:
    """One of them, with all that was pinned."""
    path = f"{_path(slug, 'versions')}/{segment(str(number))}"
    return Call(GET, path, read_as(WholeTemplateVersion))


def schema(slug: str, /, *, version: int | None = None) -> Call[dict[str, Any]]:
    """The JSON Schema of its variables, of the current version unless you name one."""
    return Call(GET, _path(slug, "schema"), lambda answer: decode(answer.content), query=query_of({"version": version}))


def diff(slug: str, /, *, from_: int | str | None = None, to: int | str | None = None) -> Call[TemplateDifference]:
    """What differs between two versions, or with `draft`; between the current version and the draft by itself."""
    return Call(GET, _path(slug, "diff"), read_as(TemplateDifference), query=query_of({"from": from_, "to": to}))


def test_send(slug: str, /, *, to: str, **wanted: Unpack[Look]) -> Call[Submitted]:
    """Send one mail that says what the preview says."""
    return Call(POST, _path(slug, "test-send"), read_as(Submitted), body=body_of({"to": to, **wanted}))


def render(**wanted: Unpack[Unsaved]) -> Call[RenderedSource]:
    """Render text that is saved nowhere."""
    return Call(POST, "/v1/render", read_as(RenderedSource), body=body_of(wanted), same_twice=True)


def layouts() -> PageCall[Layout]:
    """All layouts, by name, without their text."""
    return Call(GET, _LAYOUTS, page_of(Layout, "layouts"))


def layout(name: str | UUID, /) -> Call[Layout]:
    """One of them, and who uses it."""
    return Call(GET, _layout_path(name), read_as(Layout))


def save_layout(name: str | UUID, /, *, text: str, revision: int = 0) -> Call[Layout]:
    """Save it. `ConflictError` if it has changed since this revision."""
    body = body_of({"text": text, "revision": revision})
    return Call(PUT, _layout_path(name), read_as(Layout), body=body)


def delete_layout(name: str | UUID, /, *, revision: int) -> Call[None]:
    """Delete one that no template uses."""
    query = query_of({"revision": revision})
    return Call(DELETE, _layout_path(name), read_nothing, query=query)


def _path(slug: str | UUID, *parts: str) -> str:
    return "/".join((_TEMPLATES, segment(slug), *parts))


def _layout_path(name: str | UUID) -> str:
    """Raises `UnsendableError` for anything that could lead elsewhere."""
    text = str(name)
    if not _LAYOUT.fullmatch(text):
        raise UnsendableError(f"{text!r} is no name of a layout, such as base.html")
    return f"{_LAYOUTS}/{text}"
