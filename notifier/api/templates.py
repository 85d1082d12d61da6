"""`/v1/templates`: what there is, deleted and had back. Templates are the instance's; a scope says who may do what."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from notifier.api import paging
from notifier.api.audited import Audited
from notifier.api.change import changing
from notifier.api.conflict import source_of
from notifier.api.doors import TheDoors
from notifier.api.request import holder
from notifier.api.template_reply import CurrentOut, TemplatePageOut
from notifier.api.template_schema import Slug
from notifier.auth.scope import Scope
from notifier.errors import NotFoundError
from notifier.templating import archive, draft, find, store

router = APIRouter(prefix="/v1/templates", tags=["templates"])


class Wanted(BaseModel):
    """Which page of which templates."""

    model_config = ConfigDict(extra="forbid")

    limit: paging.Limit = 50
    before: paging.Before = None
    include_deleted: Annotated[bool, Query(description="List those too that were deleted.")] = False


class WantedVersions(BaseModel):
    """Which page of versions."""

    model_config = ConfigDict(extra="forbid")

    limit: paging.Limit = Field(50)
    before: paging.Before = None


@router.get("", response_model=TemplatePageOut, operation_id="list_templates", summary="List templates")
async def get_page(
    request: Request, response: Response, doors: TheDoors, wanted: Annotated[Wanted, Query()]
) -> dict[str, Any]:
    """All templates of the instance, without their text."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        found = await find.templates(
            connection, deleted=wanted.include_deleted, before=wanted.before, limit=wanted.limit + 1
        )
    page, cursor = paging.cut(request, response, found, wanted.limit)
    return {"templates": [vars(view) for view in page], "next": cursor}


@router.get("/{slug}", response_model=CurrentOut, operation_id="get_template", summary="Get a template")
async def get_one(request: Request, slug: Slug, doors: TheDoors) -> dict[str, Any]:
    """How a template stands; what it says is in its draft and its versions."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        view = await find.template(connection, slug)
        edited = await draft.look(connection, slug)
        current = await store.numbered(connection, slug, view.number) if view.number else None
    if edited.source is None:
        raise NotFoundError(f"there is no template {slug!r}")
    return vars(view) | {
        "revision": edited.revision,
        "content_hash": current.content_hash if current else None,
        "locales": edited.source.locales,
        "settings": source_of(edited.source)["settings"],
    }


@router.delete("/{slug}", status_code=204, operation_id="delete_template", summary="Delete a template")
async def delete(request: Request, slug: Slug, doors: TheDoors, audited: Audited) -> None:
    """No new notifications from now on; what was accepted is sent as it was. `restore` has it back."""
    caller = await holder(request, doors, Scope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    async with changing(doors) as connection:
        await archive.delete(connection, slug, actor=audited.doer(caller))
    doors.shelf.changed(slug)
