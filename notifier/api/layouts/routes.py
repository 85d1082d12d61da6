"""`/v1/layouts`: texts that templates share. A version keeps the layouts that it was published with."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from notifier.api.dependencies import AuditDependency, authenticate_key, get_dependencies, open_change_transaction
from notifier.api.errors.conflict_details import build_layout_reply
from notifier.api.layouts.models import LayoutIn, LayoutOut, LayoutsOut
from notifier.api.request_reader import document_body, read_model
from notifier.auth.authenticated_key import KeyScope
from notifier.errors import NotFoundError
from notifier.template_language.template_source import LAYOUTS
from notifier.templating import layout_store

router = APIRouter(prefix="/v1/layouts", tags=["templates"])
_NAME = r"^[a-z][a-z0-9_-]{0,63}\.(html|txt)$"
Name = Annotated[
    str, Path(description="Templates refer to it as `_layouts/` and this name.", json_schema_extra={"pattern": _NAME})
]


@router.get("", response_model=LayoutsOut, summary="List layouts")
async def list_layouts(request: Request) -> dict[str, Any]:
    """List all layouts of the instance."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        return {"layouts": [build_layout_reply(view) for view in await layout_store.list_layouts(connection)]}


@router.get("/{name}", response_model=LayoutOut, summary="Get a layout")
async def get_layout(request: Request, name: Name) -> dict[str, Any]:
    """Get the text of a layout, and the templates that use it."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        view = await layout_store.get_layout(connection, LAYOUTS + name)
        if view is None:
            raise NotFoundError(f"there is no layout {name!r}")
        return build_layout_reply(view) | {"used_by": await layout_store.list_layout_users(connection, view.name)}


@router.put("/{name}", response_model=LayoutOut, summary="Save a layout", openapi_extra=document_body(LayoutIn))
async def save_layout(request: Request, name: Name, audit: AuditDependency) -> dict[str, Any]:
    """Save a layout. Published versions do not change. 409 with both texts if it has another `revision`."""
    caller = await authenticate_key(request, KeyScope.TEMPLATES_EDIT)
    body = await read_model(request, LayoutIn)
    actor = audit.get_actor(caller)
    async with open_change_transaction(request) as connection:
        saved = await layout_store.save_layout(
            connection, LAYOUTS + name, body.text, revision=body.revision, actor=actor
        )
        return build_layout_reply(saved) | {"used_by": await layout_store.list_layout_users(connection, saved.name)}


@router.delete("/{name}", status_code=204, summary="Delete a layout")
async def delete_layout(
    request: Request,
    name: Name,
    audit: AuditDependency,
    revision: Annotated[int, Query(ge=0, le=2**31 - 1, description="The revision that you have loaded.")] = 0,
) -> None:
    """Delete a layout that no template uses; versions that were published with it keep it."""
    caller = await authenticate_key(request, KeyScope.TEMPLATES_EDIT)
    async with open_change_transaction(request) as connection:
        await layout_store.delete_layout(connection, LAYOUTS + name, revision=revision, actor=audit.get_actor(caller))
