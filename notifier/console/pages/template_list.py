"""The list of templates, and new ones from those that are shipped."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
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
from notifier.console.form import FormErrors, read_form
from notifier.console.page import redirect, render_page, require_member
from notifier.errors import InvalidRequestError
from notifier.lookup.mail_titles import build_subject_pattern
from notifier.settings import find_shipped_directory
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating import draft_store, template_store, template_usage, translations
from notifier.templating.draft_store import StaleDraftError, TemplateDeletedError
from notifier.templating.edit_rules import MAX_TEMPLATES
from notifier.templating.sync import template_files
from notifier.templating.template_store import TemplateView
from notifier.templating.template_usage import TemplateCaller
from notifier.templating.translations import TemplateLanguages
from notifier.templating.validation import SLUG

REFUSED = 422
EMPTY = "empty"


@dataclass(frozen=True, kw_only=True)
class TemplateRow:
    """A template in the list."""

    view: TemplateView
    pattern: str  # the subject, with a name for each gap
    callers: list[TemplateCaller]
    languages: list[str]  # its own first; empty: all templates of the instance are in one language
    missing: list[str]  # languages of others in which nobody gets this mail


class NewTemplateForm(BaseModel):
    """A new template."""

    model_config = ConfigDict(extra="forbid")

    slug: Annotated[str, Field(title="a short name", max_length=64)]
    name: Annotated[str, Field(title="a name", max_length=200)]
    start: Annotated[str, Field(title="what to begin with")] = EMPTY


async def list_templates(request: Request) -> Response:
    """Show all templates: what each says in its subject, who uses it, and what is live."""
    await require_member(request)
    async with get_console(request).read_slots.open() as connection:
        known = await template_store.list_templates(connection, deleted=True, limit=MAX_TEMPLATES)
        views = [view for view in known if view.deleted_at is None]
        callers = await template_usage.list_callers(connection, [view.id for view in views])
        languages = await translations.list_languages(connection)
    rows = [_build_row(view, callers[view.id], languages) for view in views]
    rows.sort(key=lambda row: (row.view.name.lower(), row.view.slug))
    names = await name_actors(request, {view.updated_by for view in views})
    deleted = sorted(view.slug for view in known if view.deleted_at is not None)
    starts = [] if rows else await asyncio.to_thread(list_shipped)
    return render_page(request, "templates", rows=rows, names=names, deleted=deleted, starts=starts)


async def show_new_template(request: Request) -> Response:
    """Show the form for a new template."""
    (await require_member(request)).member.require_scope(KeyScope.TEMPLATES_EDIT)
    return await _render_form(request, None)


@act("save_template_draft", KeyScope.TEMPLATES_EDIT)
async def create_template(request: Request) -> Response:
    """Create the draft of a new template."""
    form = await read_form(request, NewTemplateForm)
    if isinstance(form, FormErrors):
        return await _render_form(request, form)
    if not SLUG.fullmatch(form.slug):
        message = "Begin with a lower-case letter, and use lower-case letters, digits, - and _."
        return await _render_form(request, FormErrors(values=form.model_dump(), messages={"slug": message}))
    source = await asyncio.to_thread(_build_start, form)
    console = get_console(request)
    renderer = console.editors.get_renderer(request.state.session.member.actor_name)
    try:
        checked = await draft_store.check_draft(
            console.read_slots.open, renderer, form.slug, source, revision="", unfinished=True
        )
        async with open_change(request) as connection:
            await draft_store.save_draft(
                connection, form.slug, source, revision="", actor=get_actor(request), faults=checked.faults
            )
    except (StaleDraftError, TemplateDeletedError, InvalidRequestError) as error:
        message = "There is, or was, a template with this short name. Choose another one."
        if isinstance(error, InvalidRequestError):
            message = "; ".join(fault.detail for fault in error.faults)
        return await _render_form(request, FormErrors(values=form.model_dump(), messages={"slug": message}))
    return await redirect(request, f"/console/templates/{form.slug}/edit", flash="Made. Nobody can send it yet.")


def _build_row(
    view: TemplateView, callers: list[TemplateCaller], languages: Mapping[str, TemplateLanguages]
) -> TemplateRow:
    own = languages.get(view.slug, TemplateLanguages(own="en", others=frozenset()))
    everywhere = sorted({tag for each in languages.values() for tag in each.all})
    return TemplateRow(
        view=view,
        pattern=build_subject_pattern(view.subject),
        callers=callers,
        languages=[own.own, *sorted(own.others)] if len(everywhere) > 1 else [],
        missing=own.list_missing(everywhere),
    )


def list_shipped() -> list[tuple[str, str]]:
    """List the templates that are shipped: short name and name."""
    root = find_shipped_directory("templates")
    slugs = template_files.list_slugs(root)
    return [(slug, template_files.read_template(root, slug).settings.name) for slug in slugs]


def _build_start(form: NewTemplateForm) -> TemplateSource:
    root = find_shipped_directory("templates")
    if form.start in template_files.list_slugs(root):
        source = template_store.select_own_parts(template_files.read_template(root, form.start))
    else:
        source = TemplateSource(
            files={"subject.txt": "Hello {{ name }}", "body.html": "<h1>Hello {{ name }}</h1>\n<p>…</p>\n"},
            sample={"name": "Ada"},
            settings=TemplateSettings(name=form.name),
        )
    return msgspec.structs.replace(source, settings=msgspec.structs.replace(source.settings, name=form.name))


async def _render_form(request: Request, errors: FormErrors | None) -> Response:
    shipped = await asyncio.to_thread(list_shipped)
    wanted = request.query_params.get("start", EMPTY)
    start, name = next(((slug, name) for slug, name in shipped if slug == wanted), (EMPTY, ""))
    return render_page(
        request,
        "template_new",
        status=REFUSED if errors else 200,
        errors=errors,
        starts=[(EMPTY, "an empty mail"), *shipped],
        start=errors.values.get("start", EMPTY) if errors else start,
        start_name=name,
        start_slug="" if start == EMPTY else start,
    )


routes = [
    Route("/templates", list_templates),
    Route("/new-template", show_new_template),
    Route("/new-template", create_template, methods=["POST"]),
]
