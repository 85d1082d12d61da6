"""The calls about templates, layouts and images.

The key needs the scopes `templates:read`, `templates:edit` or `templates:publish`.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack
from uuid import UUID

from notifier.client.api_call import (
    DELETE,
    GET,
    POST,
    PUT,
    Call,
    PageCall,
    build_call,
    read_as,
    read_content,
    read_nothing,
    read_object,
    read_page,
)
from notifier.client.notification_reply import Submitted
from notifier.client.template_reply import (
    Asset,
    GateReport,
    Layout,
    PublishedVersion,
    Pushed,
    RenderedSource,
    SavedDraft,
    Template,
    TemplateDifference,
    TemplateDraft,
    TemplateFiles,
    TemplatePreview,
    TemplateState,
    TemplateVersion,
    WholeTemplateVersion,
)


class PreviewOptions(TypedDict, total=False):
    """The options of a preview."""

    variables: Mapping[str, Any] | None  # None: those of the sample
    locale: str | None
    version: int | None  # None: the draft
    like: str | UUID | None  # a notification whose variables are used, without the secret ones


class RenderRequest(TypedDict, total=False):
    """A template that is not saved: its three parts, or all its files."""

    subject: str | None
    html: str | None
    text: str | None
    files: Mapping[str, str] | None
    settings: Mapping[str, Any] | None
    variables: Mapping[str, Any]
    locale: str | None
    template: str | None  # whose text this will be; needed with `like`
    like: str | UUID | None  # a notification whose variables are used, without the secret ones


def list_templates(
    *, limit: int | None = None, before: str | UUID | None = None, include_deleted: bool | None = None
) -> PageCall[Template]:
    """List all templates, newest first; with `include_deleted` also deleted ones."""
    query = {"limit": limit, "before": before, "include_deleted": include_deleted}
    return build_call(GET, ("templates",), read_page(Template, "templates"), query=query)


def get_template(slug: str, /) -> Call[TemplateState]:
    """Get a template."""
    return build_call(GET, ("templates", slug), read_as(TemplateState))


def delete_template(slug: str, /) -> Call[None]:
    """Delete a template: new notifications with it are refused, accepted ones are sent unchanged."""
    return build_call(DELETE, ("templates", slug), read_nothing)


def get_template_draft(slug: str, /) -> Call[TemplateDraft]:
    """Get the draft of a template."""
    return build_call(GET, ("templates", slug, "draft"), read_as(TemplateDraft))


def save_template_draft(
    slug: str,
    /,
    *,
    files: Mapping[str, str],
    settings: Mapping[str, Any],
    sample: Mapping[str, Any] | None = None,
    revision: str = "",
    unfinished: bool = False,
) -> Call[SavedDraft]:
    """Save the draft; with `unfinished` also one that does not render.

    Raises `ConflictError` if it has changed since `revision`; its `problem.raw` has both texts.
    """
    fields = {"files": files, "settings": settings, "sample": sample, "revision": revision, "unfinished": unfinished}
    return build_call(PUT, ("templates", slug, "draft"), read_as(SavedDraft), fields=fields)


def discard_template_draft(slug: str, /, *, revision: str) -> Call[None]:
    """Discard the draft."""
    return build_call(DELETE, ("templates", slug, "draft"), read_nothing, query={"revision": revision})


def preview_template(
    slug: str, /, *, to: str | None = None, **options: Unpack[PreviewOptions]
) -> Call[TemplatePreview]:
    """Render the draft, or a version, as a mail to that address, without sending it."""
    fields = {"to": to, **options}
    return build_call(POST, ("templates", slug, "preview"), read_as(TemplatePreview), fields=fields, is_idempotent=True)


def try_template(slug: str, /, *, version: int | None = None, unmasked: bool = False) -> Call[GateReport]:
    """Try the draft, or an old version, on recent requests, and report which callers it would break."""
    fields = {"version": version, "unmasked": unmasked}
    return build_call(POST, ("templates", slug, "gate"), read_as(GateReport), fields=fields, is_idempotent=True)


def publish_template(slug: str, /, *, revision: str, note: str = "", force_reason: str = "") -> Call[PublishedVersion]:
    """Publish the draft. Raises `ConflictError` if it would break callers, or has changed."""
    fields = {"revision": revision, "note": note, "force_reason": force_reason}
    return build_call(POST, ("templates", slug, "publish"), read_as(PublishedVersion), fields=fields)


def restore_template(
    slug: str, version: int, /, *, note: str = "", revision: str | None = None, force_reason: str = ""
) -> Call[PublishedVersion]:
    """Publish the text of an old version as the next version."""
    fields = {"version": version, "note": note, "revision": revision, "force_reason": force_reason}
    return build_call(POST, ("templates", slug, "restore"), read_as(PublishedVersion), fields=fields)


def undelete_template(slug: str, /) -> Call[Template]:
    """Restore a deleted template."""
    return build_call(POST, ("templates", slug, "restore"), read_as(Template), fields={}, is_idempotent=True)


def list_template_versions(
    slug: str, /, *, limit: int | None = None, before: str | UUID | None = None
) -> PageCall[TemplateVersion]:
    """List the versions of a template, newest first."""
    query = {"limit": limit, "before": before}
    return build_call(GET, ("templates", slug, "versions"), read_page(TemplateVersion, "versions"), query=query)


def get_template_version(slug: str, number: int | str, /) -> Call[WholeTemplateVersion]:
    """Get a version with its files, sample, settings and the schema of its variables."""
    return build_call(GET, ("templates", slug, "versions", str(number)), read_as(WholeTemplateVersion))


def get_template_schema(slug: str, /, *, version: int | None = None) -> Call[dict[str, Any]]:
    """Get the JSON Schema of the variables, by default of the current version."""
    return build_call(GET, ("templates", slug, "schema"), read_object, query={"version": version})


def diff_template(
    slug: str, /, *, from_: int | str | None = None, to: int | str | None = None
) -> Call[TemplateDifference]:
    """Compare two versions, or a version and `draft`; by default the current version and the draft."""
    query = {"from_": from_, "to": to}
    return build_call(GET, ("templates", slug, "diff"), read_as(TemplateDifference), query=query)


def send_test_mail(slug: str, /, *, to: str, **options: Unpack[PreviewOptions]) -> Call[Submitted]:
    """Send the preview as one mail."""
    return build_call(POST, ("templates", slug, "test-send"), read_as(Submitted), fields={"to": to, **options})


def list_template_files(
    *,
    slugs: Sequence[str] | None = None,
    texts: bool | None = None,
    history: bool | None = None,
    limit: int | None = None,
    before: str | UUID | None = None,
) -> PageCall[TemplateFiles]:
    """List templates with the files of version and draft; by default all templates, newest first.

    `texts=False` leaves the files out; `history=True` adds the hashes of all versions.
    """
    query = {"slug": slugs, "texts": texts, "history": history, "limit": limit, "before": before}
    return build_call(GET, ("template-files",), read_page(TemplateFiles, "templates"), query=query)


class PushOptions(TypedDict, total=False):
    """The options of a push."""

    layouts: Mapping[str, str]  # by name, such as base.html
    images: Mapping[str, Mapping[str, Any]]  # by name: `content` as bytes, and the options of a conversion
    base: Mapping[str, Any] | None  # what the files came from, as in `_base.json`
    dry_run: bool
    overwrite: bool
    only_new: bool
    note: str
    force_reason: str


def push_templates(templates: Mapping[str, Mapping[str, Any]], /, **options: Unpack[PushOptions]) -> Call[Pushed]:
    """Publish the templates of a folder that differ, all or none: for each slug `files`, `sample` and `settings`.

    Raises `ConflictError` if newer edits would be lost, or callers would break.
    """
    images = {
        name: dict(image) | {"content": base64.b64encode(image["content"]).decode()}
        for name, image in options.get("images", {}).items()
    }
    fields = {"templates": templates, **options, "images": images}
    return build_call(POST, ("template-files",), read_as(Pushed), fields=fields, is_idempotent=True)


def render_source(**source: Unpack[RenderRequest]) -> Call[RenderedSource]:
    """Render a template that is not saved."""
    return build_call(POST, ("render",), read_as(RenderedSource), fields=source, is_idempotent=True)


def list_layouts() -> PageCall[Layout]:
    """List all layouts by name, without their text."""
    return build_call(GET, ("layouts",), read_page(Layout, "layouts"))


def get_layout(name: str | UUID, /) -> Call[Layout]:
    """Get a layout, and the templates that use it."""
    return build_call(GET, ("layouts", name), read_as(Layout))


def save_layout(name: str | UUID, /, *, text: str, revision: int = 0) -> Call[Layout]:
    """Save a layout. Raises `ConflictError` if it has changed since this revision."""
    return build_call(PUT, ("layouts", name), read_as(Layout), fields={"text": text, "revision": revision})


def delete_layout(name: str | UUID, /, *, revision: int) -> Call[None]:
    """Delete a layout that no template uses."""
    return build_call(DELETE, ("layouts", name), read_nothing, query={"revision": revision})


def list_assets() -> PageCall[Asset]:
    """List all images by name."""
    return build_call(GET, ("assets",), read_page(Asset, "assets"))


def get_asset(name: str, /) -> Call[Asset]:
    """Get an image: its progress, its files, or why it failed."""
    return build_call(GET, ("assets", name), read_as(Asset))


class ImageOptions(TypedDict, total=False):
    """How an image is converted."""

    mode: str | None  # fit or crop
    width: int | None
    height: int | None
    operations: Sequence[Mapping[str, Any]] | None  # such as `[{"do": "grey"}]`, instead of the others


def upload_asset(
    name: str, content: bytes, /, *, revision: int | None = None, **options: Unpack[ImageOptions]
) -> Call[Asset]:
    """Upload an image (PNG, JPEG, GIF, WebP). `revision` is that of the image it replaces; None for a new name."""
    fields = {"name": name, "content": base64.b64encode(content).decode(), "revision": revision, **options}
    return build_call(POST, ("assets",), read_as(Asset), fields=fields)


def delete_asset(name: str, /) -> Call[None]:
    """Delete an image. Published versions keep showing it."""
    return build_call(DELETE, ("assets", name), read_nothing)


def get_asset_file(name: str, /, *, scale: int | None = None) -> Call[bytes]:
    """Download the image that mails show; `scale` is 1 or 2."""
    query, accept = {"scale": scale}, "image/png, image/jpeg"
    return build_call(GET, ("assets", name, "file"), read_content, query=query, accept=accept)


def get_asset_original(name: str, /) -> Call[bytes]:
    """Download the image as it was uploaded."""
    return build_call(GET, ("assets", name, "original"), read_content, accept="application/octet-stream")
