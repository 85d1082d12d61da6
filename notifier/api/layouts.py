"""`/v1/layouts`: texts that templates share. A version keeps the one with which it was published."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from notifier.api import body_limits, value
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.conflict import layout_of
from notifier.api.doors import TheDoors
from notifier.api.request import holder
from notifier.api.request_body import read_model
from notifier.api.request_model import RequestModel
from notifier.auth.scope import Scope
from notifier.errors import NotFoundError
from notifier.rendering.source import LAYOUTS
from notifier.templating import layout
from notifier.templating.form import LARGEST_SOURCE

router = APIRouter(prefix="/v1/layouts", tags=["templates"])
_NAME = r"^[a-z][a-z0-9_-]{0,63}\.(html|txt)$"
Name = Annotated[str, Path(description="Templates name it `_layouts/` and this.", json_schema_extra={"pattern": _NAME})]


class LayoutIn(RequestModel):
    """A layout to save."""

    limits = body_limits.TEMPLATE

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"text": "<html>…</html>", "revision": 0}]}
    )

    text: str = Field(max_length=LARGEST_SOURCE)
    revision: value.Whole = Field(ge=0, le=2**31 - 2, description="The one that you have seen; 0 for a new layout.")


class LayoutLineOut(BaseModel):
    """A layout without its text."""

    name: str
    revision: int
    updated_by: str
    updated_at: datetime


class LayoutsOut(BaseModel):
    """All layouts, by name."""

    layouts: list[LayoutLineOut]


class LayoutOut(LayoutLineOut):
    """A layout."""

    text: str
    used_by: list[str] = Field(description="Templates that change with it when they are published next.")


@router.get("", response_model=LayoutsOut, operation_id="list_layouts", summary="List layouts")
async def get_all(request: Request, doors: TheDoors) -> dict[str, Any]:
    """All layouts of the instance."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        return {"layouts": [layout_of(view) for view in await layout.every(connection)]}


@router.get("/{name}", response_model=LayoutOut, operation_id="get_layout", summary="Get a layout")
async def get_one(request: Request, name: Name, doors: TheDoors) -> dict[str, Any]:
    """One of them, and who uses it."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        view = await layout.one(connection, LAYOUTS + name)
        if view is None:
            raise NotFoundError(f"there is no layout {name!r}")
        return layout_of(view) | {"used_by": await layout.using(connection, view.name)}


@router.put(
    "/{name}",
    response_model=LayoutOut,
    operation_id="save_layout",
    summary="Save a layout",
    openapi_extra=with_body(LayoutIn, required=True),
)
async def save(request: Request, name: Name, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Save it. Nothing that is published changes; 409 with both sides if somebody else has saved since `revision`."""
    caller = await holder(request, doors, Scope.TEMPLATES_EDIT)
    wanted = await read_model(request, LayoutIn)
    actor = audited.doer(caller)
    async with changing(doors) as connection:
        saved = await layout.save(connection, LAYOUTS + name, wanted.text, revision=wanted.revision, actor=actor)
        return layout_of(saved) | {"used_by": await layout.using(connection, saved.name)}


@router.delete("/{name}", status_code=204, operation_id="delete_layout", summary="Delete a layout")
async def delete(
    request: Request,
    name: Name,
    doors: TheDoors,
    audited: Audited,
    revision: Annotated[int, Query(ge=0, le=2**31 - 1, description="The one that you have seen.")] = 0,
) -> None:
    """Delete one that no template uses; versions that were published with it keep it."""
    caller = await holder(request, doors, Scope.TEMPLATES_EDIT)
    async with changing(doors) as connection:
        await layout.remove(connection, LAYOUTS + name, revision=revision, actor=audited.doer(caller))
