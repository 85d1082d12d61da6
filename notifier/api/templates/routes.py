"""`/v1/templates`: list, get and delete templates and their versions, which belong to the instance."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from notifier.api import pagination
from notifier.api.dependencies import AuditDependency, authenticate_key, get_dependencies, open_change_transaction
from notifier.api.errors import conflict_details
from notifier.api.errors.conflict_details import build_source_reply
from notifier.api.templates.models import CurrentOut, DiffOut, TemplatePageOut, VersionPageOut, WholeVersionOut
from notifier.api.templates.request_models import Number, Slug
from notifier.auth.authenticated_key import KeyScope
from notifier.errors import NotFoundError
from notifier.templating import draft_store, source_diff, template_store, template_usage, version_store

router = APIRouter(prefix="/v1/templates", tags=["templates"])
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
MAX_VERSION_NUMBER = 2**31 - 1
_STATE_PATTERN = "^(draft|[1-9][0-9]{0,8})$"
_State = Annotated[str, Query(max_length=9, pattern=_STATE_PATTERN, description="`draft`, or the number of a version.")]
_Which = Annotated[int | None, Query(ge=1, le=MAX_VERSION_NUMBER, description="Default: the current one.")]


class TemplateQuery(pagination.PageQuery):
    """Which templates are listed."""

    include_deleted: Annotated[bool, Query(description="Also list deleted templates.")] = False


@router.get("", response_model=TemplatePageOut, summary="List templates")
async def list_templates(
    request: Request, response: Response, query: Annotated[TemplateQuery, Query()]
) -> dict[str, Any]:
    """List all templates of the instance, without their text."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        views = await template_store.list_templates(
            connection, deleted=query.include_deleted, before=query.before, limit=query.limit + 1
        )
        callers = await template_usage.list_callers(connection, [view.id for view in views])
    page, cursor = pagination.cut_page(request, response, views, query.limit)
    return {"templates": [vars(view) | {"callers": callers[view.id]} for view in page], "next": cursor}


@router.get("/{slug}", response_model=CurrentOut, summary="Get a template")
async def get_template(request: Request, slug: Slug) -> dict[str, Any]:
    """Get the state of a template; its text is in its draft and its versions."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        view = await template_store.get_template(connection, slug)
        draft = await draft_store.get_draft(connection, slug)
        current = await version_store.get_numbered_version(connection, slug, view.number) if view.number else None
        callers = await template_usage.list_callers(connection, [view.id])
    if draft.source is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return vars(view) | {
        "callers": callers[view.id],
        "revision": draft.revision,
        "content_hash": current.content_hash if current else None,
        "locales": draft.source.locales,
        "settings": build_source_reply(draft.source)["settings"],
    }


@router.delete("/{slug}", status_code=204, summary="Delete a template")
async def delete_template(request: Request, slug: Slug, audit: AuditDependency) -> None:
    """Accept no new notifications; what was accepted is sent unchanged. `restore` undeletes the template."""
    caller = await authenticate_key(request, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    async with open_change_transaction(request) as connection:
        await template_store.delete_template(connection, slug, actor=audit.get_actor(caller))
    get_dependencies(request).template_cache.forget_template(slug)


@router.get("/{slug}/versions", response_model=VersionPageOut, summary="List the versions of a template")
async def list_template_versions(
    request: Request, response: Response, slug: Slug, query: Annotated[pagination.PageQuery, Query()]
) -> dict[str, Any]:
    """List the published versions, newest first."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        template = await template_store.get_template(connection, slug)
        views = await template_store.list_versions(connection, template.id, before=query.before, limit=query.limit + 1)
    page, cursor = pagination.cut_page(request, response, views, query.limit)
    return {"versions": [vars(view) for view in page], "next": cursor}


@router.get("/{slug}/versions/{number}", response_model=WholeVersionOut, summary="Get a version of a template")
async def get_template_version(request: Request, slug: Slug, number: Number) -> dict[str, Any]:
    """Get a version with its text, layouts and settings; it never changes."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        view = await template_store.get_version(connection, slug, parse_version_number(number))
    return vars(view) | conflict_details.build_source_reply(view.source)


@router.get("/{slug}/schema", summary="Get the variables schema of a template")
async def get_template_schema(request: Request, slug: Slug, version: _Which = None) -> dict[str, Any]:
    """Get the JSON Schema (draft 2020-12) that `variables` of a notification must satisfy."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        number = version if version is not None else (await template_store.get_template(connection, slug)).number
        return (await template_store.get_version(connection, slug, number)).variables_schema


@router.get("/{slug}/diff", response_model=DiffOut, summary="Compare two versions of a template")
async def diff_template(
    request: Request,
    slug: Slug,
    from_: Annotated[
        str | None,
        Query(
            alias="from",
            max_length=9,
            pattern=_STATE_PATTERN,
            description="`draft`, or the number of a version. Default: the current version.",
        ),
    ] = None,
    to: _State = "draft",
) -> dict[str, Any]:
    """Compare two versions, or a version and the draft as it would be published."""
    dependencies = get_dependencies(request)
    caller = await authenticate_key(request, KeyScope.TEMPLATES_READ)
    editor = dependencies.editors.get_renderer(caller.actor_name)
    difference = await source_diff.compare_states(dependencies.database.read, editor, slug, from_, to)
    variables = {"added": difference.added, "removed": difference.removed}
    files = [vars(file) for file in difference.files]
    return {"from": difference.from_, "to": to, "files": files, "variables": variables}


def parse_version_number(text: str) -> int:
    """Parse the number in a path. Raises `NotFoundError`."""
    if not _NUMBER.fullmatch(text) or int(text) > MAX_VERSION_NUMBER:
        raise NotFoundError("there is no such version")
    return int(text)
