"""`/v1/assets`: images for templates; and, open to the world, the files that mails link to."""

import asyncio
import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from notifier.api import fields
from notifier.api.authentication import authenticate_key
from notifier.api.body import body_limits
from notifier.api.body.model_reader import document_body, read_model
from notifier.api.body.request_model import RequestModel
from notifier.api.dependencies import Dependencies, open_change_transaction
from notifier.api.request_audit import AuditDependency
from notifier.auth.key_scope import KeyScope
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.states import AssetMode, AssetStatus
from notifier.submission.attachment_validation import decode_base64
from notifier.template_language.image_functions import IMAGE_EXTENSIONS
from notifier.templating.assets import asset_store
from notifier.templating.assets.asset_store import AssetView
from notifier.templating.assets.image_conversion import ImageOptions

router = APIRouter(prefix="/v1/assets", tags=["assets"])
public = APIRouter(include_in_schema=False)
_FILE = re.compile(r"([0-9a-f]{64})\.(png|jpg)")
_AT_ANY_TIME = {  # what has this name never changes; and whatever it were, a browser is to see an image in it
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
}
_NAME = f"^{asset_store.ASSET_NAME.pattern}$"
Name = Annotated[str, Path(description="As templates name it.", json_schema_extra={"pattern": _NAME})]
_Side = Annotated[int, Field(ge=1, le=asset_store.MAX_WIDTH), BeforeValidator(fields.convert_whole_number)]


_EXAMPLE: JsonValue = {"name": "logo", "content": "iVBORw0KGgo=", "width": 150, "revision": 0}


class AssetIn(RequestModel):
    """An image to upload."""

    limits = body_limits.FILES_LIMITS

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [_EXAMPLE]},
    )

    name: Annotated[str, fields.document_field(pattern=_NAME)] = Field(
        max_length=64, description="As templates name it."
    )
    content: Annotated[
        str, fields.document_field(pattern=fields.BASE64_PATTERN, minLength=4, contentEncoding="base64")
    ] = Field(
        max_length=fields.MAX_BASE64_LENGTH,
        description="PNG, JPEG, GIF or WebP in base64 (RFC 4648 §4); at most 10 MiB and 50 million pixels.",
    )
    mode: AssetMode = Field(
        AssetMode.FIT,
        strict=False,
        description="`fit`: all of it, within width and height. `crop`: exactly those, cut at the edges; needs both.",
    )
    width: _Side | None = Field(None, description="CSS pixels. Null: as it is, and at most 600 with `fit`.")
    height: _Side | None = Field(None, description="CSS pixels; `crop` needs both.")
    revision: fields.WholeNumber = Field(
        0, ge=0, le=2**31 - 2, description="The one that you have seen; 0 for a new name."
    )


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
    openapi_extra=document_body(AssetIn, required=True),
)
async def upload_asset(
    request: Request, response: Response, doors: Dependencies, audited: AuditDependency
) -> dict[str, Any]:
    """Upload an image, or another one under the same name. Look at `status`: it is ready a moment later, or says why.

    What is published already shows what it was published with.
    """
    caller = await authenticate_key(request, doors, KeyScope.TEMPLATES_EDIT)
    wanted = await read_model(request, AssetIn)
    wish = ImageOptions(mode=wanted.mode, width=wanted.width, height=wanted.height)
    data = await asyncio.to_thread(_decode_upload, wanted, wish)
    async with open_change_transaction(doors) as connection:
        actor = audited.get_actor(caller)
        made = await asset_store.upload_asset(
            connection, wanted.name, data, wish, revision=wanted.revision, actor=actor
        )
    response.headers["location"] = f"{router.prefix}/{made.name}"
    return _format_asset(made)


@router.get("", response_model=AssetsOut, operation_id="list_assets", summary="List assets")
async def list_assets(request: Request, doors: Dependencies) -> dict[str, Any]:
    """All images of the instance."""
    await authenticate_key(request, doors, KeyScope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        return {"assets": [_format_asset(one) for one in await asset_store.list_assets(connection)]}


@router.get("/{name}", response_model=AssetOut, operation_id="get_asset", summary="Get an asset")
async def get_asset(request: Request, name: Name, doors: Dependencies) -> dict[str, Any]:
    """How far it is, what it has become, or why it failed."""
    await authenticate_key(request, doors, KeyScope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        return _format_asset(await asset_store.get_asset(connection, name))


@router.delete("/{name}", status_code=204, operation_id="delete_asset", summary="Delete an asset")
async def delete_asset(request: Request, name: Name, doors: Dependencies, audited: AuditDependency) -> None:
    """Forget the name. What is published goes on showing the image; a draft that names it cannot be published."""
    caller = await authenticate_key(request, doors, KeyScope.TEMPLATES_EDIT)
    async with open_change_transaction(doors) as connection:
        await asset_store.delete_asset(connection, name, actor=audited.get_actor(caller))


@router.get(
    "/{name}/file",
    response_class=Response,
    operation_id="get_asset_file",
    summary="Download the file of an asset",
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The file."}},
)
async def get_asset_file(
    request: Request,
    name: Name,
    doors: Dependencies,
    scale: Annotated[int, Query(ge=1, le=2, description="2: for sharp screens; if there is none, the other.")] = 2,
) -> Response:
    """The image as mails show it."""
    await authenticate_key(request, doors, KeyScope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        found = await asset_store.get_asset(connection, name)
        if found.status is not AssetStatus.READY:
            raise asset_store.AssetNotReadyError(found)
        file = found.files.get(f"{scale}x", found.files["1x"])
        content_type, octets = await asset_store.get_file(connection, bytes.fromhex(file.sha256))
    return Response(octets, media_type=content_type)


@public.get("/assets/{name}")
async def get_public_file(name: str, doors: Dependencies) -> Response:
    """A file that images have become, to whoever has its SHA-256 from a mail; never anything else that mails carry."""
    named = _FILE.fullmatch(name)
    if named is None:
        raise NotFoundError(asset_store.NO_FILE)
    content_type, octets = await doors.public_files.get(bytes.fromhex(named[1]))
    if IMAGE_EXTENSIONS[content_type] != named[2]:
        raise NotFoundError(asset_store.NO_FILE)
    return Response(octets, media_type=content_type, headers=_AT_ANY_TIME)


def _decode_upload(wanted: AssetIn, wish: ImageOptions) -> bytes:
    """Decode the upload; raises `InvalidRequestError` with all that can be said before the image is looked at."""
    data, problem = decode_base64(wanted.content)
    faults = [Fault("/content", asset_store.REJECTED, problem)] if problem is not None else []
    faults += asset_store.find_upload_faults(wanted.name, data or b"", wish)
    if faults or data is None:
        raise InvalidRequestError(faults)
    return data


def _format_asset(one: AssetView) -> dict[str, Any]:
    files = {name: {part: getattr(file, part) for part in file.__struct_fields__} for name, file in one.files.items()}
    return vars(one) | {"files": files}
