"""`/v1/templates`: list, get and delete templates, which belong to the instance."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from notifier.api import pagination
from notifier.api.dependencies import AuditDependency, Dependencies, authenticate_key, open_change_transaction
from notifier.api.errors.conflict_details import build_source_reply
from notifier.api.templates.models import CurrentOut, TemplatePageOut
from notifier.api.templates.request_models import Slug
from notifier.auth.key_scope import KeyScope
from notifier.errors import NotFoundError
from notifier.templating import draft_store, template_archive, template_queries, version_store

router = APIRouter(prefix="/v1/templates", tags=["templates"])


class TemplateQuery(BaseModel):
    """The query of a page of templates."""

    model_config = ConfigDict(extra="forbid")

    limit: pagination.PageLimit = 50
    before: pagination.PageCursor = None
    include_deleted: Annotated[bool, Query(description="Also list deleted templates.")] = False


class VersionQuery(BaseModel):
    """The query of a page of versions."""

    model_config = ConfigDict(extra="forbid")

    limit: pagination.PageLimit = Field(50)
    before: pagination.PageCursor = None


@router.get("", response_model=TemplatePageOut, operation_id="list_templates", summary="List templates")
async def list_templates(
    request: Request, response: Response, dependencies: Dependencies, query: Annotated[TemplateQuery, Query()]
) -> dict[str, Any]:
    """All templates of the instance, without their text."""
    await authenticate_key(request, dependencies, KeyScope.TEMPLATES_READ)
    async with dependencies.database.read() as connection:
        views = await template_queries.list_templates(
            connection, deleted=query.include_deleted, before=query.before, limit=query.limit + 1
        )
    page, cursor = pagination.cut_page(request, response, views, query.limit)
    return {"templates": [vars(view) for view in page], "next": cursor}


@router.get("/{slug}", response_model=CurrentOut, operation_id="get_template", summary="Get a template")
async def get_template(request: Request, slug: Slug, dependencies: Dependencies) -> dict[str, Any]:
    """The state of a template; its text is in its draft and its versions."""
    await authenticate_key(request, dependencies, KeyScope.TEMPLATES_READ)
    async with dependencies.database.read() as connection:
        view = await template_queries.get_template(connection, slug)
        draft = await draft_store.get_draft(connection, slug)
        current = await version_store.get_numbered_version(connection, slug, view.number) if view.number else None
    if draft.source is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return vars(view) | {
        "revision": draft.revision,
        "content_hash": current.content_hash if current else None,
        "locales": draft.source.locales,
        "settings": build_source_reply(draft.source)["settings"],
    }


@router.delete("/{slug}", status_code=204, operation_id="delete_template", summary="Delete a template")
async def delete_template(request: Request, slug: Slug, dependencies: Dependencies, audit: AuditDependency) -> None:
    """Accept no new notifications; what was accepted is sent unchanged. `restore` undeletes the template."""
    caller = await authenticate_key(request, dependencies, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    async with open_change_transaction(dependencies) as connection:
        await template_archive.delete_template(connection, slug, actor=audit.get_actor(caller))
    dependencies.template_cache.forget_template(slug)
