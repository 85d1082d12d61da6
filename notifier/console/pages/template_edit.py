"""The editor of a template: the draft, a test mail, and publishing as the next step."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.console import template_form
from notifier.console.act import act, get_actor, open_change
from notifier.console.context import get_console
from notifier.console.form import FormErrors, read_form
from notifier.console.page import redirect, render_page, require_member
from notifier.console.pages.editor_preview import get_renderer, list_publishers, try_form, try_source
from notifier.console.pages.template_conflict import show_conflict
from notifier.console.pages.test_mail import send_to_self
from notifier.console.preview_head import PreviewHead, build_preview_head
from notifier.console.template_form import TemplateForm
from notifier.console.template_remarks import EditorRemark, describe_faults, list_remarks
from notifier.errors import InvalidRequestError, NotFoundError
from notifier.rendering.preview_pool import TooMuchRefusedError
from notifier.template_language.sandbox import TEMPLATE_FILTERS
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, source_diff, template_preview, template_store, translations
from notifier.templating.draft_store import DraftView, StaleDraftError
from notifier.templating.template_preview import MailReach

REFUSED = 422


@dataclass(frozen=True, kw_only=True)
class TriedForm:
    """What trying the text of the form has shown."""

    remarks: list[EditorRemark] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # why it could not be tried
    head: PreviewHead | None = None  # None: there is no preview
    schema: dict[str, Any] = field(default_factory=dict)  # of the variables


async def show_editor(request: Request) -> Response:
    """Show the draft in the editor; without one, the current version."""
    member = (await require_member(request)).member
    member.require_scope(KeyScope.TEMPLATES_EDIT)
    view = await _load_draft(request)
    assert view.source is not None
    return await _render_editor(request, view, template_form.fill_form(view.source, view.revision), view.source)


@act("save_template_draft", KeyScope.TEMPLATES_EDIT)
async def save_draft(request: Request) -> Response:
    """Save the draft, whatever is wrong with it."""
    saved = await _save(request)
    if isinstance(saved, Response):
        return saved
    said = describe_faults(saved.faults) if saved.faults else "Nothing keeps it from being published."
    return await redirect(request, _get_url(request), flash=f"Saved. {said}")


@act("save_template_draft", KeyScope.TEMPLATES_EDIT)
async def save_and_publish(request: Request) -> Response:
    """Save the draft, and go on to the page that says what publishing would do."""
    saved = await _save(request)
    if isinstance(saved, Response):
        return saved
    if saved.faults:
        return await redirect(request, _get_url(request), flash=f"Saved. {describe_faults(saved.faults)}")
    return await redirect(request, f"/console/templates/{saved.slug}/publish")


@act("test_template", KeyScope.TEMPLATES_EDIT)
async def send_test(request: Request) -> Response:
    """Save the draft, and send it to the person as a mail."""
    saved = await _save(request)
    if isinstance(saved, Response):
        return saved
    if saved.faults:
        return await redirect(request, _get_url(request), flash=f"Saved, not sent. {describe_faults(saved.faults)}")
    said = await send_to_self(request, saved.slug, None)
    return await redirect(request, _get_url(request), flash=f"Saved. {said}")


@act("discard_template_draft", KeyScope.TEMPLATES_EDIT)
async def discard_draft(request: Request) -> Response:
    """Discard the draft."""
    form, slug = await read_form(request, TemplateForm), request.path_params["slug"]
    revision = form.revision if isinstance(form, TemplateForm) else ""
    try:
        async with open_change(request) as connection:
            await draft_store.discard_draft(connection, slug, revision=revision, actor=get_actor(request))
    except StaleDraftError:
        said = "Somebody saved this draft in the meantime, so it was not discarded. Look at it first."
        get_actor(request).record_no_change()
        return await redirect(request, _get_url(request), flash=said)
    return await redirect(request, f"/console/templates/{slug}", flash="The draft was discarded.")


@act("preview_template", KeyScope.TEMPLATES_EDIT)
async def fill_past_values(request: Request) -> Response:
    """Fill in the values of a past mail, without the secret ones, as own values of the preview."""
    view, form = await _load_draft(request), await read_form(request, TemplateForm)
    if isinstance(form, FormErrors):
        return await _render_errors(request, view, form)
    source = template_form.read_source(form)
    if isinstance(source, FormErrors):
        return await _render_errors(request, view, source)
    try:
        id_ = UUID(form.past)
    except ValueError as error:
        raise NotFoundError from error
    async with open_change(request) as connection:
        values = await template_preview.load_past_values(
            connection, view.slug, id_, source, reach=MailReach(), actor=get_actor(request)
        )
    own = source_diff.format_sample(values.variables)
    form = form.model_copy(update={"values": "own", "own": own, "language": values.locale or form.language})
    return await _render_editor(request, view, form, source, is_changed=True)


@act("preview_template", KeyScope.TEMPLATES_EDIT)
async def add_parts(request: Request) -> Response:
    """Add the parts of a language, or a text part of its own; nothing is saved."""
    get_actor(request).record_no_change()
    view, form = await _load_draft(request), await read_form(request, TemplateForm)
    if isinstance(form, FormErrors):
        return await _render_errors(request, view, form)
    if request.url.path.endswith("/text-part"):
        tried = await try_form(request, form)
        mail = None if isinstance(tried, FormErrors) else tried[0].mail
        form = template_form.add_text_part(form, mail.text if mail else "")
    else:
        form = template_form.add_language(form)
    source = template_form.read_source(form)
    if isinstance(source, FormErrors):
        return await _render_errors(request, view, source)
    return await _render_editor(request, view, form, source, is_changed=True)


async def _save(request: Request) -> DraftView | Response:
    """Save the form as the draft; a response instead if it cannot be read, or somebody else was first."""
    console, slug = get_console(request), request.path_params["slug"]
    form = await read_form(request, TemplateForm)
    source = form if isinstance(form, FormErrors) else template_form.read_source(form)
    if isinstance(form, FormErrors) or isinstance(source, FormErrors):
        assert isinstance(source, FormErrors)
        return await _render_errors(request, await _load_draft(request), source)
    try:
        checked = await draft_store.check_draft(
            console.read_slots.open, get_renderer(request), slug, source, revision=form.revision, unfinished=True
        )
        async with open_change(request) as connection:
            return await draft_store.save_draft(
                connection, slug, source, revision=form.revision, actor=get_actor(request), faults=checked.faults
            )
    except StaleDraftError as error:
        get_actor(request).record_no_change()
        return await show_conflict(request, error.theirs, source)
    except (InvalidRequestError, TooMuchRefusedError) as error:
        details = [fault.detail for fault in error.faults] if isinstance(error, InvalidRequestError) else [str(error)]
        errors = FormErrors(values=form.model_dump(), messages={"": f"Not saved: {'; '.join(details)}."})
        return await _render_errors(request, await _load_draft(request), errors)


async def _load_draft(request: Request) -> DraftView:
    async with get_console(request).read_slots.open() as connection:
        view = await draft_store.get_draft(connection, request.path_params["slug"])
    if view.source is None or view.deleted_at is not None:
        raise NotFoundError
    return view


async def _render_errors(request: Request, view: DraftView, errors: FormErrors) -> Response:
    """Show the editor with what was typed, and what is wrong with it."""
    form = TemplateForm.model_construct(**{name: value.default for name, value in TemplateForm.model_fields.items()})
    typed = {name: value for name, value in errors.values.items() if name in TemplateForm.model_fields}
    form = form.model_copy(update={"part": [], "text": [], "drop": []} | typed)
    get_actor(request).record_no_change()
    return await _render_editor(request, view, form, None, errors=errors, is_changed=True)


async def _render_editor(
    request: Request,
    view: DraftView,
    form: TemplateForm,
    source: TemplateSource | None,
    *,
    errors: FormErrors | None = None,
    is_changed: bool = False,
) -> Response:
    async with get_console(request).read_slots.open() as connection:
        past_mails = await template_preview.list_past_mails(connection, view.slug)
        shown = source or view.source
        marks = await translations.list_translations(connection, view.template_id, shown) if shown else []
        live = await template_store.get_version(connection, view.slug, view.number) if view.number else None
        publishers = await list_publishers(connection, (await require_member(request)).member)
    tried = TriedForm(remarks=list_remarks(view.faults))
    if source is not None:
        tried = await _try_for_page(request, form, source)
    variables = source_diff.compare_variables({}, tried.schema).added
    new = source_diff.compare_variables(live.variables_schema, tried.schema).added if live is not None else ()
    return render_page(
        request,
        "template_edit",
        status=REFUSED if errors else 200,
        view=view,
        form=form,
        parts=[*zip(form.part, form.text, strict=False)],
        errors=errors,
        is_changed=is_changed,
        remarks=tried.remarks,
        preview=tried.head,
        problems=tried.problems,
        variables=variables,
        new_variables=[variable.path for variable in new],
        translations=marks,
        publishers=publishers,
        names={"variables": [variable.path for variable in variables], "filters": sorted(TEMPLATE_FILTERS)},
        past_mails=past_mails,
        word_part=template_form.word_part,
        word_translation=template_form.word_translation,
        word_type=template_form.word_type,
        languages=source.locales if source is not None else [],
    )


async def _try_for_page(request: Request, form: TemplateForm, source: TemplateSource) -> TriedForm:
    """Try the text of the form with the chosen values, or those of the sample if they cannot be read."""
    own = template_form.read_own_values(form)
    tried = await try_source(request, source, None if isinstance(own, FormErrors) else own, form.language or None)
    if isinstance(tried, FormErrors):
        return TriedForm(problems=[*tried.messages.values()])
    preview = tried[0]
    return TriedForm(
        remarks=list_remarks(preview.faults, preview.checked.remarks),
        head=await build_preview_head(preview.mail) if preview.mail is not None else None,
        schema=preview.checked.variables_schema,
    )


def _get_url(request: Request) -> str:
    return f"/console/templates/{request.path_params['slug']}/edit"


_EDIT = "/templates/{slug}/edit"
routes = [
    Route(_EDIT, show_editor),
    Route(_EDIT, save_draft, methods=["POST"]),
    Route(f"{_EDIT}/publish", save_and_publish, methods=["POST"]),
    Route(f"{_EDIT}/test", send_test, methods=["POST"]),
    Route(f"{_EDIT}/discard", discard_draft, methods=["POST"]),
    Route(f"{_EDIT}/values", fill_past_values, methods=["POST"]),
    Route(f"{_EDIT}/language", add_parts, methods=["POST"]),
    Route(f"{_EDIT}/text-part", add_parts, methods=["POST"]),
]
