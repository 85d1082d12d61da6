"""The calls about templates and layouts; the key needs the scopes `templates:read`, `:edit` or `:publish`."""

import re
from collections.abc import Callable, Mapping
from http import HTTPMethod
from typing import Any, TypedDict, TypeVar, Unpack
from uuid import UUID

from notifier.client.api_call import Call, HttpResponse, PageCall, check_segment, read_page
from notifier.client.errors import UnsendableError
from notifier.client.notification_reply import Submitted
from notifier.client.reply_reader import decode_object, read_reply
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

T = TypeVar("T")
_TEMPLATES = "/v1/templates"
_LAYOUTS = "/v1/layouts"
_LAYOUT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9]+)?")


class PreviewOptions(TypedDict, total=False):
    """How a template is looked at."""

    variables: Mapping[str, Any] | None  # None: those of its sample
    locale: str | None
    version: int | None  # None: the draft


class RenderRequest(TypedDict, total=False):
    """Text that is saved nowhere: three parts, or all files of a template."""

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
    """All templates, the one that was made last first; with `include_deleted` also those that were deleted."""
    return Call(
        method=HTTPMethod.GET,
        path=_TEMPLATES,
        query=build_query({"limit": limit, "before": before, "include_deleted": include_deleted}),
        read=lambda answer: read_page(Template, answer, "templates"),
    )


def get_template(slug: str, /) -> Call[TemplateState]:
    """How one stands."""
    return Call(method=HTTPMethod.GET, path=_path(slug), read=_as(TemplateState))


def delete_template(slug: str, /) -> Call[None]:
    """Take no new notifications with it; what was accepted is sent as it was."""
    return Call(method=HTTPMethod.DELETE, path=_path(slug), read=_nothing)


def get_template_draft(slug: str, /) -> Call[TemplateDraft]:
    """What is being edited."""
    return Call(method=HTTPMethod.GET, path=_path(slug, "draft"), read=_as(TemplateDraft))


def save_template_draft(
    slug: str,
    /,
    *,
    files: Mapping[str, str],
    settings: Mapping[str, Any],
    sample: Mapping[str, Any] | None = None,
    revision: str = "",
) -> Call[SavedDraft]:
    """Save it. `ConflictError` if it has changed since `revision`; its `problem.raw` has both sides."""
    return Call(
        method=HTTPMethod.PUT,
        path=_path(slug, "draft"),
        body=build_body({"files": files, "settings": settings, "sample": sample, "revision": revision}),
        read=_as(SavedDraft),
    )


def discard_template_draft(slug: str, /, *, revision: str) -> Call[None]:
    """Forget the draft."""
    return Call(method=HTTPMethod.DELETE, path=_path(slug, "draft"), query={"revision": revision}, read=_nothing)


def preview_template(slug: str, /, *, to: str | None = None, **wanted: Unpack[PreviewOptions]) -> Call[TemplatePreview]:
    """The draft, or a version, as a mail to that address, which nobody sends."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "preview"),
        body=build_body({"to": to, **wanted}),
        is_idempotent=True,
        read=_as(TemplatePreview),
    )


def try_template(slug: str, /, *, version: int | None = None, unmasked: bool = False) -> Call[GateReport]:
    """Try the draft, or an old version, on what services have asked for: whom publishing it would break, and how."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "gate"),
        body=build_body({"version": version, "unmasked": unmasked}),
        is_idempotent=True,
        read=_as(GateReport),
    )


def publish_template(slug: str, /, *, revision: str, note: str = "", force_reason: str = "") -> Call[PublishedVersion]:
    """Make the draft what new notifications get. `ConflictError` if callers would break, or it was changed."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "publish"),
        body=build_body({"revision": revision, "note": note, "force_reason": force_reason}),
        read=_as(PublishedVersion),
    )


def restore_template(
    slug: str, version: int, /, *, note: str = "", revision: str | None = None, force_reason: str = ""
) -> Call[PublishedVersion]:
    """Publish an old version's very text as the next one."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "restore"),
        body=build_body({"version": version, "note": note, "revision": revision, "force_reason": force_reason}),
        read=_as(PublishedVersion),
    )


def undelete_template(slug: str, /) -> Call[Template]:
    """Have a deleted template back as it was."""
    return Call(
        method=HTTPMethod.POST, path=_path(slug, "restore"), body=build_body({}), is_idempotent=True, read=_as(Template)
    )


def list_template_versions(
    slug: str, /, *, limit: int | None = None, before: str | UUID | None = None
) -> PageCall[TemplateVersion]:
    """What was published, newest first."""
    return Call(
        method=HTTPMethod.GET,
        path=_path(slug, "versions"),
        query=build_query({"limit": limit, "before": before}),
        read=lambda answer: read_page(TemplateVersion, answer, "versions"),
    )


def get_template_version(slug: str, number: int | str, /) -> Call[WholeTemplateVersion]:
    """One of them, with all that was pinned."""
    path = f"{_path(slug, 'versions')}/{check_segment(str(number))}"
    return Call(method=HTTPMethod.GET, path=path, read=_as(WholeTemplateVersion))


def get_template_schema(slug: str, /, *, version: int | None = None) -> Call[dict[str, Any]]:
    """The JSON Schema of its variables, of the current version unless you name one."""
    return Call(
        method=HTTPMethod.GET,
        path=_path(slug, "schema"),
        query=build_query({"version": version}),
        read=lambda answer: decode_object(answer.content),
    )


def diff_template(
    slug: str, /, *, from_: int | str | None = None, to: int | str | None = None
) -> Call[TemplateDifference]:
    """What differs between two versions, or with `draft`; between the current version and the draft by itself."""
    return Call(
        method=HTTPMethod.GET,
        path=_path(slug, "diff"),
        query=build_query({"from": from_, "to": to}),
        read=_as(TemplateDifference),
    )


def send_test_mail(slug: str, /, *, to: str, **wanted: Unpack[PreviewOptions]) -> Call[Submitted]:
    """Send one mail that says what the preview says."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "test-send"),
        body=build_body({"to": to, **wanted}),
        read=_as(Submitted),
    )


def render_source(**wanted: Unpack[RenderRequest]) -> Call[RenderedSource]:
    """Render text that is saved nowhere."""
    return Call(
        method=HTTPMethod.POST, path="/v1/render", body=build_body(wanted), is_idempotent=True, read=_as(RenderedSource)
    )


def list_layouts() -> PageCall[Layout]:
    """All layouts, by name, without their text."""
    return Call(method=HTTPMethod.GET, path=_LAYOUTS, read=lambda answer: read_page(Layout, answer, "layouts"))


def get_layout(name: str | UUID, /) -> Call[Layout]:
    """One of them, and who uses it."""
    return Call(method=HTTPMethod.GET, path=_layout_path(name), read=_as(Layout))


def save_layout(name: str | UUID, /, *, text: str, revision: int = 0) -> Call[Layout]:
    """Save it. `ConflictError` if it has changed since this revision."""
    body = build_body({"text": text, "revision": revision})
    return Call(method=HTTPMethod.PUT, path=_layout_path(name), body=body, read=_as(Layout))


def delete_layout(name: str | UUID, /, *, revision: int) -> Call[None]:
    """Delete one that no template uses."""
    query = build_query({"revision": revision})
    return Call(method=HTTPMethod.DELETE, path=_layout_path(name), query=query, read=_nothing)


def _path(slug: str | UUID, *parts: str) -> str:
    return "/".join((_TEMPLATES, check_segment(slug), *parts))


def _layout_path(name: str | UUID) -> str:
    """Raises `UnsendableError` for anything that could lead elsewhere."""
    text = str(name)
    if not _LAYOUT.fullmatch(text):
        raise UnsendableError(f"{text!r} is no name of a layout, such as base.html")
    return f"{_LAYOUTS}/{text}"


def _as(kind: type[T]) -> Callable[[HttpResponse], T]:
    return lambda answer: read_reply(kind, decode_object(answer.content))


def _nothing(_answer: HttpResponse) -> None:
    """The status says it all."""
