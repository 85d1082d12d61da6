"""The preview of the editor: the text of its form as a mail in a frame, and what is wrong with it. Nothing is saved."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth import staff_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.staff_roles import StaffRole
from notifier.auth.staff_session import StaffMember
from notifier.console import template_form
from notifier.console.act import act, get_actor
from notifier.console.context import get_console
from notifier.console.form import FormErrors, read_form
from notifier.console.mail_frame import show_mail, show_text
from notifier.console.page import render_part, require_member
from notifier.console.preview_head import build_preview_head
from notifier.console.reading import ReadConnection
from notifier.console.template_form import TemplateForm
from notifier.console.template_remarks import list_remarks
from notifier.errors import InvalidRequestError
from notifier.rendering.preview_pool import EditorRenderer, TooMuchRefusedError
from notifier.template_language.template_source import RenderFault, TemplateSource
from notifier.templating import draft_store, template_preview, validation
from notifier.templating.template_preview import PreviewValues, UnsavedPreview

REFUSED = 422


@act("render_source", KeyScope.TEMPLATES_READ)
async def preview_text(request: Request) -> Response:
    """Show the text of the form as a mail, in a frame."""
    get_actor(request).record_no_change()
    form = await read_form(request, TemplateForm)
    tried = await try_form(request, form)
    if isinstance(tried, FormErrors):
        return show_text("\n".join(tried.messages.values()), status=REFUSED)
    preview, whole = tried
    assert isinstance(form, TemplateForm)
    if preview.mail is None:
        return show_text(describe_missing_mail(preview.faults), status=REFUSED)
    return await show_mail(request, preview.mail, whole.assets, form.view)


@act("render_source", KeyScope.TEMPLATES_READ)
async def list_form_remarks(request: Request) -> Response:
    """Show what is wrong with the text of the form, and its subject as a mail has it."""
    get_actor(request).record_no_change()
    tried = await try_form(request, await read_form(request, TemplateForm))
    if isinstance(tried, FormErrors):
        return render_part(request, "edit_answer", remarks=[], preview=None, problems=[*tried.messages.values()])
    preview, _ = tried
    remarks = list_remarks(preview.faults, preview.checked.remarks)
    head = await build_preview_head(preview.mail) if preview.mail is not None else None
    return render_part(request, "edit_answer", remarks=remarks, preview=head, problems=[])


async def try_form(
    request: Request, form: TemplateForm | FormErrors
) -> tuple[UnsavedPreview, TemplateSource] | FormErrors:
    """Check and render the text of a form."""
    if isinstance(form, FormErrors):
        return form
    source, own = template_form.read_source(form), template_form.read_own_values(form)
    for errors in (source, own):
        if isinstance(errors, FormErrors):
            return errors
    assert isinstance(source, TemplateSource)
    assert not isinstance(own, FormErrors)
    return await try_source(request, source, own, form.language or None)


async def try_source(
    request: Request, source: TemplateSource, own: dict[str, Any] | None, locale: str | None
) -> tuple[UnsavedPreview, TemplateSource] | FormErrors:
    """Check and render a source with own values, or None for its sample; return also the source with its layouts."""
    slug = request.path_params["slug"]
    try:
        validation.require_valid_source(slug, source, unfinished=True)
        async with get_console(request).read_slots.open() as connection:
            whole = await draft_store.assemble_source(connection, source, slug)
        values = await build_values(request, own, locale)
        preview = await template_preview.preview_unsaved_source(get_renderer(request), source, whole, values)
    except InvalidRequestError as error:
        return FormErrors(values={}, messages={"": "; ".join(fault.detail for fault in error.faults)})
    except TooMuchRefusedError as error:
        return FormErrors(values={}, messages={"": f"No preview: {error}."})
    return preview, whole


def describe_missing_mail(faults: Sequence[RenderFault]) -> str:
    """Describe why there is no mail to show."""
    remarks = list_remarks(faults)
    text = "\n\n".join(f"{remark.place}: {remark.sentence} {remark.advice}" for remark in remarks)
    return f"This cannot be shown yet.\n\n{text}"


async def build_values(request: Request, own: dict[str, Any] | None, locale: str | None = None) -> PreviewValues:
    """Build what a preview is rendered with, as a mail to the person who looks at it."""
    console, member = get_console(request), (await require_member(request)).member
    return PreviewValues(
        variables=own, locale=locale, recipient=member.email, sender=console.default_sender, at=console.clock.now()
    )


async def list_publishers(connection: ReadConnection, member: StaffMember) -> list[str]:
    """List the names of publishers for somebody who may not publish; empty for those who may."""
    if member.has_scope(KeyScope.TEMPLATES_PUBLISH):
        return []
    return await staff_admin.list_names_with_role(connection, StaffRole.PUBLISHER)


def get_renderer(request: Request) -> EditorRenderer:
    """Get the renderer of the person, who has one request at a time."""
    return get_console(request).editors.get_renderer(request.state.session.member.actor_name)


routes = [
    Route("/templates/{slug}/edit/preview", preview_text, methods=["POST"]),
    Route("/templates/{slug}/edit/remarks", list_form_remarks, methods=["POST"]),
]
