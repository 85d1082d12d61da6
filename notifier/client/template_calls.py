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
    """The options of a preview."""

    variables: Mapping[str, Any] | None  # None: those of the sample
    locale: str | None
    version: int | None  # None: the draft


class Unsaved(TypedDict, total=False):
    """A template that is not saved: its three parts, or all its files."""

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
    """List all templates, newest first; with `include_deleted` also deleted ones."""
    return Call(
        GET,
        _TEMPLATES,
        page_of(Template, "templates"),
        query=query_of({"limit": limit, "before": before, "include_deleted": include_deleted}),
    )


def template(slug: str, /) -> Call[TemplateState]:
    """Get a template."""
    return Call(GET, _build_path(slug), read_as(TemplateState))


def delete_template(slug: str, /) -> Call[None]:
    """Delete a template: new notifications with it are refused, accepted ones are sent unchanged."""
    return Call(DELETE, _build_path(slug), read_nothing)


def draft(slug: str, /) -> Call[TemplateDraft]:
    """Get the draft of a template."""
    return Call(GET, _build_path(slug, "draft"), read_as(TemplateDraft))


def save_draft(
    slug: str,
    /,
    *,
    files: Mapping[str, str],
    settings: Mapping[str, Any],
    sample: Mapping[str, Any] | None = None,
    seen: str = "",
) -> Call[SavedDraft]:
    """Save the draft. Raises `ConflictError` if it has changed since `seen`; its `problem.raw` has both texts."""
    return Call(
        PUT,
        _build_path(slug, "draft"),
        read_as(SavedDraft),
        body=body_of({"files": files, "settings": settings, "sample": sample, "seen": seen}),
    )


def discard_draft(slug: str, /, *, seen: str) -> Call[None]:
    """Discard the draft."""
    return Call(DELETE, _build_path(slug, "draft"), read_nothing, query={"seen": seen})


def preview(slug: str, /, *, to: str | None = None, **options: Unpack[Look]) -> Call[TemplatePreview]:
    """Render the draft, or a version, as a mail to that address, without sending it."""
    return Call(
        POST,
        _build_path(slug, "preview"),
        read_as(TemplatePreview),
        body=body_of({"to": to, **options}),
        same_twice=True,
    )


def gate(slug: str, /, *, version: int | None = None, unmasked: bool = False) -> Call[GateReport]:
    """Try the draft, or an old version, on recent requests, and report which callers it would break."""
    return Call(
        POST,
        _build_path(slug, "gate"),
        read_as(GateReport),
        body=body_of({"version": version, "unmasked": unmasked}),
        same_twice=True,
    )


def publish(slug: str, /, *, seen: str, note: str = "", force_reason: str = "") -> Call[PublishedVersion]:
    """Publish the draft. Raises `ConflictError` if it would break callers, or has changed."""
    return Call(
        POST,
        _build_path(slug, "publish"),
        read_as(PublishedVersion),
        body=body_of({"seen": seen, "note": note, "force_reason": force_reason}),
    )


def restore(
    slug: str, version: int, /, *, note: str = "", seen: str | None = None, force_reason: str = ""
) -> Call[PublishedVersion]:
    """Publish the text of an old version as the next version."""
    return Call(
        POST,
        _build_path(slug, "restore"),
        read_as(PublishedVersion),
        body=body_of({"version": version, "note": note, "seen": seen, "force_reason": force_reason}),
    )


def undelete(slug: str, /) -> Call[Template]:
    """Restore a deleted template."""
    return Call(POST, _build_path(slug, "restore"), read_as(Template), body=body_of({}), same_twice=True)


def versions(slug: str, /, *, limit: int | None = None, before: str | UUID | None = None) -> PageCall[TemplateVersion]:
    """List the versions of a template, newest first."""
    return Call(
        GET,
        _build_path(slug, "versions"),
        page_of(TemplateVersion, "versions"),
        query=query_of({"limit": limit, "before": before}),
    )


def version(slug: str, number: int | str, /) -> Call[WholeTemplateVersion]:
    """Get a version with everything that was pinned."""
    path = f"{_build_path(slug, 'versions')}/{segment(str(number))}"
    return Call(GET, path, read_as(WholeTemplateVersion))


def schema(slug: str, /, *, version: int | None = None) -> Call[dict[str, Any]]:
    """Get the JSON Schema of the variables, by default of the current version."""
    return Call(
        GET, _build_path(slug, "schema"), lambda answer: decode(answer.content), query=query_of({"version": version})
    )


def diff(slug: str, /, *, from_: int | str | None = None, to: int | str | None = None) -> Call[TemplateDifference]:
    """Compare two versions, or a version and `draft`; by default the current version and the draft."""
    return Call(GET, _build_path(slug, "diff"), read_as(TemplateDifference), query=query_of({"from": from_, "to": to}))


def test_send(slug: str, /, *, to: str, **options: Unpack[Look]) -> Call[Submitted]:
    """Send the preview as one mail."""
    return Call(POST, _build_path(slug, "test-send"), read_as(Submitted), body=body_of({"to": to, **options}))


def render(**source: Unpack[Unsaved]) -> Call[RenderedSource]:
    """Render a template that is not saved."""
    return Call(POST, "/v1/render", read_as(RenderedSource), body=body_of(source), same_twice=True)


def layouts() -> PageCall[Layout]:
    """List all layouts by name, without their text."""
    return Call(GET, _LAYOUTS, page_of(Layout, "layouts"))


def layout(name: str | UUID, /) -> Call[Layout]:
    """Get a layout, and the templates that use it."""
    return Call(GET, _build_layout_path(name), read_as(Layout))


def save_layout(name: str | UUID, /, *, text: str, revision: int = 0) -> Call[Layout]:
    """Save a layout. Raises `ConflictError` if it has changed since this revision."""
    body = body_of({"text": text, "revision": revision})
    return Call(PUT, _build_layout_path(name), read_as(Layout), body=body)


def delete_layout(name: str | UUID, /, *, revision: int) -> Call[None]:
    """Delete a layout that no template uses."""
    query = query_of({"revision": revision})
    return Call(DELETE, _build_layout_path(name), read_nothing, query=query)


def _build_path(slug: str | UUID, *parts: str) -> str:
    return "/".join((_TEMPLATES, segment(slug), *parts))


def _build_layout_path(name: str | UUID) -> str:
    """Build the path. Raises `UnsendableError` for anything that could change it."""
    text = str(name)
    if not _LAYOUT.fullmatch(text):
        raise UnsendableError(f"{text!r} is not the name of a layout, such as base.html")
    return f"{_LAYOUTS}/{text}"
