"""`/v1/assets`: images for templates; and, open to the world, the files that mails link to."""

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from notifier.api import body_limits, value
from notifier.api.audited import Audited
from notifier.api.change import changing, with_body
from notifier.api.doors import TheDoors
from notifier.api.request import holder
from notifier.api.request_body import read_model
from notifier.api.request_model import RequestModel
from notifier.auth.scope import Scope
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.notification.attachment import octets_of
from notifier.rendering.images import EXTENSIONS
from notifier.states import AssetMode, AssetStatus
from notifier.templating.assets import asset
from notifier.templating.assets.asset import AssetView
from notifier.templating.assets.image import Wish

router = APIRouter(prefix="/v1/assets", tags=["assets"])
public = APIRouter(include_in_schema=False)
_FILE = re.compile(r"([0-9a-f]{64})\.(png|jpg)")
_AT_ANY_TIME = {  # what has this name never changes; and whatever it were, a browser is to see an image in it
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
}
_NAME = f"^{asset.NAME.pattern}$"
Name = Annotated[str, Path(description="As templates name it.", json_schema_extra={"pattern": _NAME})]
_Side = Annotated[int, Field(ge=1, le=asset.WIDEST), BeforeValidator(value.convert_whole_number)]


_EXAMPLE: JsonValue = {"name": "logo", "content": "iVBORw0KGgo=", "width": 150, "revision": 0}


class AssetIn(RequestModel):
    """An image to upload."""

    limits = body_limits.FILES

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [_EXAMPLE]},
    )

    name: Annotated[str, value.documented(pattern=_NAME)] = Field(max_length=64, description="As templates name it.")
    content: Annotated[str, value.documented(pattern=value.BASE64, minLength=4, contentEncoding="base64")] = Field(
        max_length=value.MAX_BASE64_LENGTH,
        description="PNG, JPEG, GIF or WebP in base64 (RFC 4648 §4); at most 10 MiB and 50 million pixels.",
    )
    mode: AssetMode = Field(
        AssetMode.FIT,
        strict=False,
        description="`fit`: all of it, within width and height. `crop`: exactly those, cut at the edges; needs both.",
    )
    width: _Side | None = Field(None, description="CSS pixels. Null: as it is, and at most 600 with `fit`.")
    height: _Side | None = Field(None, description="CSS pixels; `crop` needs both.")
    revision: value.Whole = Field(0, ge=0, le=2**31 - 2, description="The one that you have seen; 0 for a new name.")


class AssetFileOut(BaseModel):
    """A file that an image has become."""

    sha256: str
    content_type: str
    width: int = Field(description="In its own pixels.")
    height: int
    size: int = Field(description="Octets.")


class AssetOut(BaseModel):
    """An image as it stands."""

    id: UUID
    name: str
    status: AssetStatus
    detail: str = Field(description="Why it failed, or what was left out.")
    progress: int = Field(description="Per cent.")
    mode: AssetMode
    width: int | None
    height: int | None
    files: dict[str, AssetFileOut] = Field(description="`1x`, and `2x` if the image has the pixels; none until ready.")
    revision: int
    updated_by: str
    updated_at: datetime


class AssetsOut(BaseModel):
    """All images, by name."""

    assets: list[AssetOut]


@router.post(
    "",
    status_code=202,
    response_model=AssetOut,
    operation_id="upload_asset",
    summary="Upload an asset",
    openapi_extra=with_body(AssetIn, required=True),
)
async def upload(request: Request, response: Response, doors: TheDoors, audited: Audited) -> dict[str, Any]:
    """Upload an image, or another one under the same name. Look at `status`: it is ready a moment later, or says why.

    What is published already shows what it was published with.
    """
    caller = await holder(request, doors, Scope.TEMPLATES_EDIT)
    wanted = await read_model(request, AssetIn)
    wish = Wish(mode=wanted.mode, width=wanted.width, height=wanted.height)
    data = await asyncio.to_thread(_checked, wanted, wish)
    async with changing(doors) as connection:
        actor = audited.doer(caller)
        made = await asset.upload(connection, wanted.name, data, wish, revision=wanted.revision, actor=actor)
    response.headers["location"] = f"{router.prefix}/{made.name}"
    return _shown(made)


@router.get("", response_model=AssetsOut, operation_id="list_assets", summary="List assets")
async def get_all(request: Request, doors: TheDoors) -> dict[str, Any]:
    """All images of the instance."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        return {"assets": [_shown(one) for one in await asset.every(connection)]}


@router.get("/{name}", response_model=AssetOut, operation_id="get_asset", summary="Get an asset")
async def get_one(request: Request, name: Name, doors: TheDoors) -> dict[str, Any]:
    """How far it is, what it has become, or why it failed."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        return _shown(await asset.one(connection, name))


@router.delete("/{name}", status_code=204, operation_id="delete_asset", summary="Delete an asset")
async def remove(request: Request, name: Name, doors: TheDoors, audited: Audited) -> None:
    """Forget the name. What is published goes on showing the image; a draft that names it cannot be published."""
    caller = await holder(request, doors, Scope.TEMPLATES_EDIT)
    async with changing(doors) as connection:
        await asset.remove(connection, name, actor=audited.doer(caller))


@router.get(
    "/{name}/file",
    response_class=Response,
    operation_id="get_asset_file",
    summary="Download the file of an asset",
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The file."}},
)
async def get_file(
    request: Request,
    name: Name,
    doors: TheDoors,
    scale: Annotated[int, Query(ge=1, le=2, description="2: for sharp screens; if there is none, the other.")] = 2,
) -> Response:
    """The image as mails show it."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        found = await asset.one(connection, name)
        if found.status is not AssetStatus.READY:
            raise asset.AssetNotReadyError(found)
        file = found.files.get(f"{scale}x", found.files["1x"])
        content_type, octets = await asset.file(connection, bytes.fromhex(file.sha256))
    return Response(octets, media_type=content_type)


@public.get("/assets/{name}")
async def get_public(name: str, doors: TheDoors) -> Response:
    """A file that images have become, to whoever has its SHA-256 from a mail; never anything else that mails carry."""
    named = _FILE.fullmatch(name)
    if named is None:
        raise NotFoundError(asset.NO_FILE)
    content_type, octets = await doors.public_files.get(bytes.fromhex(named[1]))
    if EXTENSIONS[content_type] != named[2]:
        raise NotFoundError(asset.NO_FILE)
    return Response(octets, media_type=content_type, headers=_AT_ANY_TIME)


def _checked(wanted: AssetIn, wish: Wish) -> bytes:
    """Decode the upload; raises `InvalidRequestError` with all that can be said before the image is looked at."""
    data, problem = octets_of(wanted.content)
    faults = [Fault("/content", asset.REJECTED, problem)] if problem is not None else []
    faults += asset.find_upload_faults(wanted.name, data or b"", wish)
    if faults or data is None:
        raise InvalidRequestError(faults)
    return data


def _shown(one: AssetView) -> dict[str, Any]:
    files = {name: {part: getattr(file, part) for part in file.__struct_fields__} for name, file in one.files.items()}
    return vars(one) | {"files": files}
