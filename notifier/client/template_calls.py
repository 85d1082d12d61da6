"""The calls about templates and layouts; the key needs the scopes `templates:read`, `:edit` or `:publish`."""

import re
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack
from uuid import UUID

from notifier.client.api_call import (
    DELETE,
    GET,
    POST,
    PUT,
    Call,
    PageCall,
    check_segment,
    read_as,
    read_nothing,
    read_page,
)
from notifier.client.errors import UnsendableError
from notifier.client.notification_reply import Submitted
from notifier.client.reply_reader import decode_object
from notifier.client.request_fields import build_body, build_query
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

_TEMPLATES = "/v1/templates"
_LAYOUTS = "/v1/layouts"
_LAYOUT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9]+)?")


class PreviewOptions(TypedDict, total=False):
    """The options of a preview."""

    variables: Mapping[str, Any] | None  # None: those of the sample
    locale: str | None
    version: int | None  # None: the draft


class RenderRequest(TypedDict, total=False):
    """A template that is not saved: its three parts, or all its files."""

    subject: str | None
    html: str | None
    text: str | None
    files: Mapping[str, str] | None
    settings: Mapping[str, Any] | None
    variables: Mapping[str, Any]
    locale: str | None


def list_templates(
    *, limit: int | None = None, before: str | UUID | None = None, include_deleted: bool | None = None
) -> PageCall[Template]:
    """List all templates, newest first; with `include_deleted` also deleted ones."""
    return Call(
        GET,
        _TEMPLATES,
        read_page(Template, "templates"),
        query=build_query({"limit": limit, "before": before, "include_deleted": include_deleted}),
    )


def get_template(slug: str, /) -> Call[TemplateState]:
    """Get a template."""
    return Call(GET, _build_path(slug), read_as(TemplateState))


def delete_template(slug: str, /) -> Call[None]:
    """Delete a template: new notifications with it are refused, accepted ones are sent unchanged."""
    return Call(DELETE, _build_path(slug), read_nothing)


def get_template_draft(slug: str, /) -> Call[TemplateDraft]:
    """Get the draft of a template."""
    return Call(GET, _build_path(slug, "draft"), read_as(TemplateDraft))


def save_template_draft(
    slug: str,
    /,
    *,
    files: Mapping[str, str],
    settings: Mapping[str, Any],
    sample: Mapping[str, Any] | None = None,
    revision: str = "",
) -> Call[SavedDraft]:
    """Save the draft. Raises `ConflictError` if it has changed since `revision`; its `problem.raw` has both texts."""
    return Call(
        PUT,
        _build_path(slug, "draft"),
        read_as(SavedDraft),
        body=build_body({"files": files, "settings": settings, "sample": sample, "revision": revision}),
    )


def discard_template_draft(slug: str, /, *, revision: str) -> Call[None]:
    """Discard the draft."""
    return Call(DELETE, _build_path(slug, "draft"), read_nothing, query={"revision": revision})


def preview_template(
    slug: str, /, *, to: str | None = None, **options: Unpack[PreviewOptions]
) -> Call[TemplatePreview]:
    """Render the draft, or a version, as a mail to that address, without sending it."""
    return Call(
        POST,
        _build_path(slug, "preview"),
        read_as(TemplatePreview),
        body=build_body({"to": to, **options}),
        is_idempotent=True,
    )


def try_template(slug: str, /, *, version: int | None = None, unmasked: bool = False) -> Call[GateReport]:
    """Try the draft, or an old version, on recent requests, and report which callers it would break."""
    return Call(
        POST,
        _build_path(slug, "gate"),
        read_as(GateReport),
        body=build_body({"version": version, "unmasked": unmasked}),
        is_idempotent=True,
    )


def publish_template(slug: str, /, *, revision: str, note: str = "", force_reason: str = "") -> Call[PublishedVersion]:
    """Publish the draft. Raises `ConflictError` if it would break callers, or has changed."""
    return Call(
        POST,
        _build_path(slug, "publish"),
        read_as(PublishedVersion),
        body=build_body({"revision": revision, "note": note, "force_reason": force_reason}),
    )


def restore_template(
    slug: str, version: int, /, *, note: str = "", revision: str | None = None, force_reason: str = ""
) -> Call[PublishedVersion]:
    """Publish the text of an old version as the next version."""
    return Call(
        POST,
        _build_path(slug, "restore"),
        read_as(PublishedVersion),
        body=build_body({"version": version, "note": note, "revision": revision, "force_reason": force_reason}),
    )


def undelete_template(slug: str, /) -> Call[Template]:
    """Restore a deleted template."""
    return Call(POST, _build_path(slug, "restore"), read_as(Template), body=build_body({}), is_idempotent=True)


def list_template_versions(
    slug: str, /, *, limit: int | None = None, before: str | UUID | None = None
) -> PageCall[TemplateVersion]:
    """List the versions of a template, newest first."""
    return Call(
        GET,
        _build_path(slug, "versions"),
        read_page(TemplateVersion, "versions"),
        query=build_query({"limit": limit, "before": before}),
    )


def get_template_version(slug: str, number: int | str, /) -> Call[WholeTemplateVersion]:
    """Get a version with everything that was pinned."""
    path = f"{_build_path(slug, 'versions')}/{check_segment(str(number))}"
    return Call(GET, path, read_as(WholeTemplateVersion))


def get_template_schema(slug: str, /, *, version: int | None = None) -> Call[dict[str, Any]]:
    """Get the JSON Schema of the variables, by default of the current version."""
    return Call(
        GET,
        _build_path(slug, "schema"),
        lambda answer: decode_object(answer.content),
        query=build_query({"version": version}),
    )


def diff_template(
    slug: str, /, *, from_: int | str | None = None, to: int | str | None = None
) -> Call[TemplateDifference]:
    """Compare two versions, or a version and `draft`; by default the current version and the draft."""
    return Call(
        GET, _build_path(slug, "diff"), read_as(TemplateDifference), query=build_query({"from": from_, "to": to})
    )


def send_test_mail(slug: str, /, *, to: str, **options: Unpack[PreviewOptions]) -> Call[Submitted]:
    """Send the preview as one mail."""
    return Call(POST, _build_path(slug, "test-send"), read_as(Submitted), body=build_body({"to": to, **options}))


def render_source(**source: Unpack[RenderRequest]) -> Call[RenderedSource]:
    """Render a template that is not saved."""
    return Call(POST, "/v1/render", read_as(RenderedSource), body=build_body(source), is_idempotent=True)


def list_layouts() -> PageCall[Layout]:
    """List all layouts by name, without their text."""
    return Call(GET, _LAYOUTS, read_page(Layout, "layouts"))


def get_layout(name: str | UUID, /) -> Call[Layout]:
    """Get a layout, and the templates that use it."""
    return Call(GET, _build_layout_path(name), read_as(Layout))


def save_layout(name: str | UUID, /, *, text: str, revision: int = 0) -> Call[Layout]:
    """Save a layout. Raises `ConflictError` if it has changed since this revision."""
    body = build_body({"text": text, "revision": revision})
    return Call(PUT, _build_layout_path(name), read_as(Layout), body=body)


def delete_layout(name: str | UUID, /, *, revision: int) -> Call[None]:
    """Delete a layout that no template uses."""
    query = build_query({"revision": revision})
    return Call(DELETE, _build_layout_path(name), read_nothing, query=query)


def _build_path(slug: str | UUID, *parts: str) -> str:
    return "/".join((_TEMPLATES, check_segment(slug), *parts))


def _build_layout_path(name: str | UUID) -> str:
    """Build the path. Raises `UnsendableError` for anything that could change it."""
    text = str(name)
    if not _LAYOUT.fullmatch(text):
        raise UnsendableError(f"{text!r} is not the name of a layout, such as base.html")
    return f"{_LAYOUTS}/{text}"
