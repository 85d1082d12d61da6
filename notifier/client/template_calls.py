"""The calls about templates and layouts; the key needs the scopes `templates:read`, `:edit` or `:publish`."""

import re
from collections.abc import Callable, Mapping
from http import HTTPMethod
from typing import Any, TypedDict, TypeVar, Unpack
from uuid import UUID

from notifier.client.call import Answer, Call, PageCall, page_of, segment
from notifier.client.errors import UnsendableError
from notifier.client.reading import decode, read
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
        method=HTTPMethod.GET,
        path=_TEMPLATES,
        query=query_of({"limit": limit, "before": before, "include_deleted": include_deleted}),
        read=lambda answer: page_of(Template, answer, "templates"),
    )


def template(slug: str, /) -> Call[TemplateState]:
    """How one stands."""
    return Call(method=HTTPMethod.GET, path=_path(slug), read=_as(TemplateState))


def delete_template(slug: str, /) -> Call[None]:
    """Take no new notifications with it; what was accepted is sent as it was."""
    return Call(method=HTTPMethod.DELETE, path=_path(slug), read=_nothing)


def draft(slug: str, /) -> Call[TemplateDraft]:
    """What is being edited."""
    return Call(method=HTTPMethod.GET, path=_path(slug, "draft"), read=_as(TemplateDraft))


def save_draft(
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
        body=body_of({"files": files, "settings": settings, "sample": sample, "revision": revision}),
        read=_as(SavedDraft),
    )


def discard_draft(slug: str, /, *, revision: str) -> Call[None]:
    """Forget the draft."""
    return Call(method=HTTPMethod.DELETE, path=_path(slug, "draft"), query={"revision": revision}, read=_nothing)


def preview(slug: str, /, *, to: str | None = None, **wanted: Unpack[Look]) -> Call[TemplatePreview]:
    """The draft, or a version, as a mail to that address, which nobody sends."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "preview"),
        body=body_of({"to": to, **wanted}),
        same_twice=True,
        read=_as(TemplatePreview),
    )


def gate(slug: str, /, *, version: int | None = None, unmasked: bool = False) -> Call[GateReport]:
    """Try the draft, or an old version, on what services have asked for: whom publishing it would break, and how."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "gate"),
        body=body_of({"version": version, "unmasked": unmasked}),
        same_twice=True,
        read=_as(GateReport),
    )


def publish(slug: str, /, *, revision: str, note: str = "", force_reason: str = "") -> Call[PublishedVersion]:
    """Make the draft what new notifications get. `ConflictError` if callers would break, or it was changed."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "publish"),
        body=body_of({"revision": revision, "note": note, "force_reason": force_reason}),
        read=_as(PublishedVersion),
    )


def restore(
    slug: str, version: int, /, *, note: str = "", revision: str | None = None, force_reason: str = ""
) -> Call[PublishedVersion]:
    """Publish an old version's very text as the next one."""
    return Call(
        method=HTTPMethod.POST,
        path=_path(slug, "restore"),
        body=body_of({"version": version, "note": note, "revision": revision, "force_reason": force_reason}),
        read=_as(PublishedVersion),
    )


def undelete(slug: str, /) -> Call[Template]:
    """Have a deleted template back as it was."""
    return Call(
        method=HTTPMethod.POST, path=_path(slug, "restore"), body=body_of({}), same_twice=True, read=_as(Template)
    )


def versions(slug: str, /, *, limit: int | None = None, before: str | UUID | None = None) -> PageCall[TemplateVersion]:
    """What was published, newest first."""
    return Call(
        method=HTTPMethod.GET,
        path=_path(slug, "versions"),
        query=query_of({"limit": limit, "before": before}),
        read=lambda answer: page_of(TemplateVersion, answer, "versions"),
    )


def version(slug: str, number: int | str, /) -> Call[WholeTemplateVersion]:
    """One of them, with all that was pinned."""
    path = f"{_path(slug, 'versions')}/{segment(str(number))}"
    return Call(method=HTTPMethod.GET, path=path, read=_as(WholeTemplateVersion))


def schema(slug: str, /, *, version: int | None = None) -> Call[dict[str, Any]]:
    """The JSON Schema of its variables, of the current version unless you name one."""
    return Call(
        method=HTTPMethod.GET,
        path=_path(slug, "schema"),
        query=query_of({"version": version}),
        read=lambda answer: decode(answer.content),
    )


def diff(slug: str, /, *, from_: int | str | None = None, to: int | str | None = None) -> Call[TemplateDifference]:
    """What differs between two versions, or with `draft`; between the current version and the draft by itself."""
    return Call(
        method=HTTPMethod.GET,
        path=_path(slug, "diff"),
        query=query_of({"from": from_, "to": to}),
        read=_as(TemplateDifference),
    )


def test_send(slug: str, /, *, to: str, **wanted: Unpack[Look]) -> Call[Submitted]:
    """Send one mail that says what the preview says."""
    return Call(
        method=HTTPMethod.POST, path=_path(slug, "test-send"), body=body_of({"to": to, **wanted}), read=_as(Submitted)
    )


def render(**wanted: Unpack[Unsaved]) -> Call[RenderedSource]:
    """Render text that is saved nowhere."""
    return Call(
        method=HTTPMethod.POST, path="/v1/render", body=body_of(wanted), same_twice=True, read=_as(RenderedSource)
    )


def layouts() -> PageCall[Layout]:
    """All layouts, by name, without their text."""
    return Call(method=HTTPMethod.GET, path=_LAYOUTS, read=lambda answer: page_of(Layout, answer, "layouts"))


def layout(name: str | UUID, /) -> Call[Layout]:
    """One of them, and who uses it."""
    return Call(method=HTTPMethod.GET, path=_layout_path(name), read=_as(Layout))


def save_layout(name: str | UUID, /, *, text: str, revision: int = 0) -> Call[Layout]:
    """Save it. `ConflictError` if it has changed since this revision."""
    body = body_of({"text": text, "revision": revision})
    return Call(method=HTTPMethod.PUT, path=_layout_path(name), body=body, read=_as(Layout))


def delete_layout(name: str | UUID, /, *, revision: int) -> Call[None]:
    """Delete one that no template uses."""
    query = query_of({"revision": revision})
    return Call(method=HTTPMethod.DELETE, path=_layout_path(name), query=query, read=_nothing)


def _path(slug: str | UUID, *parts: str) -> str:
    return "/".join((_TEMPLATES, segment(slug), *parts))


def _layout_path(name: str | UUID) -> str:
    """Raises `UnsendableError` for anything that could lead elsewhere."""
    text = str(name)
    if not _LAYOUT.fullmatch(text):
        raise UnsendableError(f"{text!r} is no name of a layout, such as base.html")
    return f"{_LAYOUTS}/{text}"


def _as(kind: type[T]) -> Callable[[Answer], T]:
    return lambda answer: read(kind, decode(answer.content))


def _nothing(_answer: Answer) -> None:
    """The status says it all."""
