"""Layouts, which templates share: listed, edited with a preview in a template of choice, deleted."""

from typing import Annotated

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.console.act import act, get_actor, open_change
from notifier.console.actor_words import name_actors
from notifier.console.context import get_console
from notifier.console.diff_rows import build_diff_rows
from notifier.console.form import FormErrors, read_form
from notifier.console.mail_frame import show_mail, show_text
from notifier.console.page import redirect, render_page, render_part, require_member
from notifier.console.pages.editor_preview import build_values, describe_missing_mail, get_renderer
from notifier.console.preview_head import build_preview_head
from notifier.console.template_remarks import list_remarks
from notifier.errors import InvalidRequestError, NotFoundError
from notifier.rendering.preview_pool import TooMuchRefusedError
from notifier.template_language.sandbox import TEMPLATE_FILTERS
from notifier.template_language.template_source import LAYOUTS, TemplateSource
from notifier.template_lint.lint_remark import Severity
from notifier.templating import draft_store, layout_store, source_diff, template_preview, template_store
from notifier.templating.layout_store import LayoutInUseError, LayoutView, StaleLayoutError
from notifier.templating.template_preview import UnsavedPreview
from notifier.templating.validation import MAX_SOURCE_BYTES

REFUSED, CONFLICT = 422, 409


class LayoutForm(BaseModel):
    """The fields of a layout."""

    model_config = ConfigDict(extra="forbid")

    revision: int = 0
    text: Annotated[str, Field(title="the text", max_length=MAX_SOURCE_BYTES)] = ""
    template: str = ""  # that the preview shows it in


class NewLayoutForm(BaseModel):
    """A new layout."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(title="a name", max_length=68)]


async def list_layouts(request: Request) -> Response:
    """Show all layouts, and which templates use them."""
    await require_member(request)
    return await _render_list(request, None)


@act("save_layout", KeyScope.TEMPLATES_EDIT)
async def create_layout(request: Request) -> Response:
    """Create an empty layout."""
    form = await read_form(request, NewLayoutForm)
    if isinstance(form, FormErrors):
        return await _render_list(request, form)
    try:
        async with open_change(request) as connection:
            await layout_store.save_layout(connection, LAYOUTS + form.name, "", revision=0, actor=get_actor(request))
    except (InvalidRequestError, StaleLayoutError) as error:
        message = "There is a layout with this name already."
        if isinstance(error, InvalidRequestError):
            message = "Use lower-case letters, digits, - and _, and end it with .html or .txt."
        return await _render_list(request, FormErrors(values=form.model_dump(), messages={"name": message}))
    return await redirect(request, f"/console/layouts/{form.name}")


async def show_layout(request: Request) -> Response:
    """Show a layout in the editor."""
    await require_member(request)
    layout = await _load_layout(request)
    return await _render_editor(request, layout, layout.text)


@act("save_layout", KeyScope.TEMPLATES_EDIT)
async def save_layout(request: Request) -> Response:
    """Save the layout. Live mail changes when each template is published next."""
    form, name = await read_form(request, LayoutForm), request.path_params["name"]
    if isinstance(form, FormErrors):
        layout = await _load_layout(request)
        return await _render_editor(request, layout, str(form.values.get("text", "")), errors=form)
    try:
        async with open_change(request) as connection:
            await layout_store.save_layout(
                connection, LAYOUTS + name, form.text, revision=form.revision, actor=get_actor(request)
            )
    except StaleLayoutError as error:
        return await _render_conflict(request, error.theirs, form.text)
    except InvalidRequestError as error:
        errors = FormErrors(values=form.model_dump(), messages={"text": error.faults[0].detail})
        return await _render_editor(request, await _load_layout(request), form.text, errors=errors)
    said = "Saved. Live mails change when each template is published next."
    return await redirect(request, f"/console/layouts/{name}", flash=said)


@act("render_source", KeyScope.TEMPLATES_READ)
async def preview_layout(request: Request) -> Response:
    """Show the text of the form in a template, as a mail in a frame."""
    get_actor(request).record_no_change()
    tried = await _try_layout(request)
    if isinstance(tried, str):
        return show_text(tried, status=REFUSED)
    preview, whole = tried
    if preview.mail is None:
        return show_text(describe_missing_mail(preview.faults), status=REFUSED)
    return await show_mail(request, preview.mail, whole.assets, "html")


@act("render_source", KeyScope.TEMPLATES_READ)
async def list_layout_remarks(request: Request) -> Response:
    """Show what is wrong with the text of the form in a template: every mistake, and remarks on the layout itself."""
    get_actor(request).record_no_change()
    tried = await _try_layout(request)
    if isinstance(tried, str):
        return render_part(request, "edit_answer", remarks=[], preview=None, problems=[tried])
    preview = tried[0]
    remarks = [
        remark
        for remark in list_remarks(preview.faults, preview.checked.remarks)
        if remark.severity is Severity.ERROR or remark.file == LAYOUTS + request.path_params["name"]
    ]
    head = await build_preview_head(preview.mail) if preview.mail is not None else None
    return render_part(request, "edit_answer", remarks=remarks, preview=head, problems=[])


async def _try_layout(request: Request) -> tuple[UnsavedPreview, TemplateSource] | str:
    """Check and render a template with the text of the form; a text instead says why that is not possible."""
    form = await read_form(request, LayoutForm)
    if isinstance(form, FormErrors) or not form.template:
        return "No template uses this layout yet, so there is nothing to show."
    whole = await draft_store.load_source(get_console(request).read_slots.open, form.template)
    files = whole.files | {LAYOUTS + request.path_params["name"]: form.text}
    whole = msgspec.structs.replace(whole, files=files)
    try:
        own = template_store.select_own_parts(whole)
        values = await build_values(request, None)
        return await template_preview.preview_unsaved_source(get_renderer(request), own, whole, values), whole
    except InvalidRequestError as error:
        return "\n\n".join(fault.detail for fault in error.faults)
    except TooMuchRefusedError as error:
        return f"No preview: {error}."


@act("delete_layout", KeyScope.TEMPLATES_EDIT)
async def delete_layout(request: Request) -> Response:
    """Delete a layout that no template uses."""
    form, name = await read_form(request, LayoutForm), request.path_params["name"]
    revision = form.revision if isinstance(form, LayoutForm) else 0
    try:
        async with open_change(request) as connection:
            await layout_store.delete_layout(connection, LAYOUTS + name, revision=revision, actor=get_actor(request))
    except (LayoutInUseError, StaleLayoutError) as error:
        get_actor(request).record_no_change()
        return await redirect(request, f"/console/layouts/{name}", flash=f"Not deleted: {error}.")
    return await redirect(request, "/console/layouts", flash=f"{name} was deleted.")


async def _load_layout(request: Request) -> LayoutView:
    async with get_console(request).read_slots.open() as connection:
        layout = await layout_store.get_layout(connection, LAYOUTS + request.path_params["name"])
    if layout is None:
        raise NotFoundError
    return layout


async def _render_list(request: Request, errors: FormErrors | None) -> Response:
    async with get_console(request).read_slots.open() as connection:
        layouts = await layout_store.list_layouts(connection)
        users = await layout_store.list_users_of_layouts(connection)
    names = await name_actors(request, {layout.updated_by for layout in layouts})
    return render_page(
        request, "layouts", status=REFUSED if errors else 200, layouts=layouts, users=users, names=names, errors=errors
    )


async def _render_editor(
    request: Request, layout: LayoutView, text: str, *, errors: FormErrors | None = None
) -> Response:
    async with get_console(request).read_slots.open() as connection:
        users = await layout_store.list_layout_users(connection, layout.name)
    names = await name_actors(request, {layout.updated_by})
    completion = {"variables": [], "filters": sorted(TEMPLATE_FILTERS)}
    status = REFUSED if errors else 200
    return render_page(
        request,
        "layout_edit",
        status=status,
        layout=layout,
        text=text,
        users=users,
        names=names,
        completion=completion,
        errors=errors,
    )


async def _render_conflict(request: Request, theirs: LayoutView | None, text: str) -> Response:
    if theirs is None:
        raise NotFoundError
    rows = build_diff_rows(source_diff.diff_text(theirs.name, theirs.text, text))
    names = await name_actors(request, {theirs.updated_by})
    return render_page(request, "layout_conflict", status=CONFLICT, theirs=theirs, text=text, rows=rows, names=names)


_LAYOUT = "/layouts/{name}"
routes = [
    Route("/layouts", list_layouts),
    Route("/layouts", create_layout, methods=["POST"]),
    Route(_LAYOUT, show_layout),
    Route(_LAYOUT, save_layout, methods=["POST"]),
    Route(f"{_LAYOUT}/preview", preview_layout, methods=["POST"]),
    Route(f"{_LAYOUT}/remarks", list_layout_remarks, methods=["POST"]),
    Route(f"{_LAYOUT}/delete", delete_layout, methods=["POST"]),
]
