"""One template: what the live version says, who uses it, its variables and versions; two versions side by side."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.console.act import act, get_actor, open_change
from notifier.console.actor_words import name_actors
from notifier.console.context import get_console
from notifier.console.diff_rows import build_diff_rows
from notifier.console.form import read_number
from notifier.console.mail_frame import show_mail, show_text
from notifier.console.page import redirect, render_page, require_member
from notifier.console.pages.editor_preview import build_values, get_renderer, list_publishers
from notifier.console.template_form import word_part, word_translation, word_type
from notifier.errors import InvalidRequestError, NotFoundError
from notifier.rendering.preview_pool import TooMuchRefusedError
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, source_diff, template_preview, template_store, template_usage, translations
from notifier.templating.template_store import FullVersionView

MAX_VERSIONS = 50
REFUSED = 422
_VIEWS = {"html", "text", "source"}


async def show_template(request: Request) -> Response:
    """Show a template."""
    member = (await require_member(request)).member
    slug = request.path_params["slug"]
    async with get_console(request).read_slots.open() as connection:
        template = await template_store.get_template(connection, slug)
        draft = await draft_store.get_draft(connection, slug)
        versions = await template_store.list_versions(connection, template.id, limit=MAX_VERSIONS)
        callers = (await template_usage.list_callers(connection, [template.id]))[template.id]
        current = await template_store.get_version(connection, slug, template.number) if template.number else None
        marks = await translations.list_translations(connection, template.id, current.source) if current else []
        publishers = await list_publishers(connection, member)
    names = await name_actors(request, {version.published_by for version in versions} | {draft.updated_by or ""})
    return render_page(
        request,
        "template",
        template=template,
        draft=draft,
        current=current,
        versions=versions,
        callers=callers,
        names=names,
        variables=_list_variables(current),
        view=_choose_view(request),
        languages=current.source.locales if current else [],
        translations=marks,
        publishers=publishers,
        word_translation=word_translation,
        language=request.query_params.get("language", ""),
    )


async def show_version(request: Request) -> Response:
    """Show a version beside another one: the live one, or the one before."""
    await require_member(request)
    console, slug = get_console(request), request.path_params["slug"]
    number = request.path_params["number"]
    async with console.read_slots.open() as connection:
        template = await template_store.get_template(connection, slug)
        version = await template_store.get_version(connection, slug, number)
    other = read_number(request, "with")
    if other is None:
        other = template.number if number != template.number else number - 1
    older, newer = sorted((number, other))
    difference = None
    if older > 0 and older != newer:
        difference = await source_diff.compare_states(
            console.read_slots.open, get_renderer(request), slug, str(older), str(newer)
        )
    names = await name_actors(request, {version.published_by})
    return render_page(
        request,
        "template_version",
        template=template,
        version=version,
        names=names,
        older=older,
        newer=newer,
        difference=difference,
        files=[(word_part(each.file), build_diff_rows(each.diff)) for each in difference.files] if difference else [],
        view=_choose_view(request),
    )


async def preview_version(request: Request) -> Response:
    """Show a version with its sample as a mail, in a frame."""
    await require_member(request)
    slug, number = request.path_params["slug"], request.path_params["number"]
    async with get_console(request).read_slots.open() as connection:
        source = (await template_store.get_version(connection, slug, number)).source
    return await _show_source(request, source)


async def preview_draft(request: Request) -> Response:
    """Show the draft, or the live version if there is none, with its sample as a mail, in a frame."""
    await require_member(request)
    source = await draft_store.load_source(get_console(request).read_slots.open, request.path_params["slug"])
    return await _show_source(request, source)


async def _show_source(request: Request, source: TemplateSource) -> Response:
    values = await build_values(request, None, request.query_params.get("language") or None)
    try:
        mail = await template_preview.preview_source(get_renderer(request), source, values)
    except InvalidRequestError as error:
        return show_text("\n".join(fault.detail for fault in error.faults), status=REFUSED)
    except TooMuchRefusedError as error:
        return show_text(f"No preview: {error}.", status=REFUSED)
    return await show_mail(request, mail, source.assets, _choose_view(request))


@act("delete_template", KeyScope.TEMPLATES_PUBLISH)
async def delete_template(request: Request) -> Response:
    """Delete the template: no new mail with it."""
    slug = request.path_params["slug"]
    async with open_change(request) as connection:
        await template_store.delete_template(connection, slug, actor=get_actor(request))
    get_console(request).template_cache.forget_template(slug)
    return await redirect(request, f"/console/templates/{slug}", flash="Deleted. Mail that was accepted is still sent.")


@act("restore_template", KeyScope.TEMPLATES_PUBLISH)
async def undelete_template(request: Request) -> Response:
    """Restore a deleted template."""
    slug = request.path_params["slug"]
    async with open_change(request) as connection:
        await template_store.undelete_template(connection, slug, note="", actor=get_actor(request))
    get_console(request).template_cache.forget_template(slug)
    return await redirect(request, f"/console/templates/{slug}", flash="Restored. It can be sent again.")


def _list_variables(version: FullVersionView | None) -> list[dict[str, Any]]:
    """List the variables of a version, with what is special about each."""
    if version is None:
        return []
    settings = version.source.settings
    variables = source_diff.compare_variables({}, version.variables_schema).added
    return [
        {
            "path": variable.path,
            "type": word_type(variable.type),
            "required": variable.required,
            "is_public": variable.path in settings.public,
            "is_secret": variable.path in settings.secret,
        }
        for variable in variables
    ]


def _choose_view(request: Request) -> str:
    view = request.query_params.get("view", "html")
    if view not in _VIEWS:
        raise NotFoundError
    return view


_PAGE = "/templates/{slug}"
routes = [
    Route(_PAGE, show_template),
    Route(f"{_PAGE}/delete", delete_template, methods=["POST"]),
    Route(f"{_PAGE}/undelete", undelete_template, methods=["POST"]),
    Route(f"{_PAGE}/draft/preview", preview_draft),
    Route(_PAGE + "/versions/{number:int}", show_version),
    Route(_PAGE + "/versions/{number:int}/preview", preview_version),
]
