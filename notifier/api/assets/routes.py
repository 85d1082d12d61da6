"""`/v1/assets`: images for templates. `/assets/{name}`: the files that mails link to, without a key."""

import asyncio
import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from notifier.api.assets.models import NAME_PATTERN, AssetIn, AssetOut, AssetsOut
from notifier.api.dependencies import AuditDependency, authenticate_key, get_dependencies, open_change_transaction
from notifier.api.request_reader import document_body, read_model
from notifier.auth.authenticated_key import KeyScope
from notifier.errors import InvalidRequestError, NotFoundError
from notifier.mail.mail_parts import IMAGE_EXTENSIONS
from notifier.states import AssetStatus
from notifier.templating.assets import asset_store
from notifier.templating.assets.asset_store import AssetView

router = APIRouter(prefix="/v1/assets", tags=["assets"])
public = APIRouter(include_in_schema=False)
_FILE_NAME = re.compile(r"([0-9a-f]{64})\.(png|jpg)")
_PUBLIC_HEADERS = {  # a file with this name never changes; browsers treat it as an image, whatever it contains
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
}
Name = Annotated[str, Path(description="As templates name it.", json_schema_extra={"pattern": NAME_PATTERN})]


@router.post(
    "", status_code=202, response_model=AssetOut, summary="Upload an asset", openapi_extra=document_body(AssetIn)
)
async def upload_asset(request: Request, response: Response, audit: AuditDependency) -> dict[str, Any]:
    """Upload an image, or replace the one of this name. Poll `status`: it is `ready` or `failed` a moment later.

    Published versions go on showing the image that they were published with.
    """
    caller = await authenticate_key(request, KeyScope.TEMPLATES_EDIT)
    body = await read_model(request, AssetIn)
    data, options, faults = await asyncio.to_thread(body.read_image, body.name)
    if faults:
        raise InvalidRequestError(faults)
    async with open_change_transaction(request) as connection:
        actor = audit.get_actor(caller)
        asset = await asset_store.upload_asset(
            connection, body.name, data, options, revision=body.revision, actor=actor
        )
    response.headers["location"] = f"{router.prefix}/{asset.name}"
    return _format_asset(asset)


@router.get("", response_model=AssetsOut, summary="List assets")
async def list_assets(request: Request) -> dict[str, Any]:
    """List all images of the instance."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        return {"assets": [_format_asset(asset) for asset in await asset_store.list_assets(connection)]}


@router.get("/{name}", response_model=AssetOut, summary="Get an asset")
async def get_asset(request: Request, name: Name) -> dict[str, Any]:
    """Get the progress, the converted files, or why the conversion failed."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        return _format_asset(await asset_store.get_asset(connection, name))


@router.delete("/{name}", status_code=204, summary="Delete an asset")
async def delete_asset(request: Request, name: Name, audit: AuditDependency) -> None:
    """Delete the name. Published versions go on showing the image; a draft that names it cannot be published."""
    caller = await authenticate_key(request, KeyScope.TEMPLATES_EDIT)
    async with open_change_transaction(request) as connection:
        await asset_store.delete_asset(connection, name, actor=audit.get_actor(caller))


@router.get(
    "/{name}/file",
    response_class=Response,
    summary="Download the file of an asset",
    responses={200: {"content": {"image/png": {}, "image/jpeg": {}}, "description": "The file."}},
)
async def get_asset_file(
    request: Request,
    name: Name,
    scale: Annotated[
        int,
        Query(ge=1, le=2, description="2: for high-resolution screens; if there is no such file, you get that of 1."),
    ] = 2,
) -> Response:
    """Get the image as mails show it."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        asset = await asset_store.get_asset(connection, name)
        if asset.status is not AssetStatus.READY:
            raise asset_store.AssetNotReadyError(asset)
        file = asset.files.get(f"{scale}x", asset.files["1x"])
        content_type, content = await asset_store.get_file(connection, bytes.fromhex(file.sha256))
    return Response(content, media_type=content_type)


@router.get(
    "/{name}/original",
    response_class=Response,
    summary="Download the upload of an asset",
    responses={200: {"content": {"application/octet-stream": {}}, "description": "The bytes as they were uploaded."}},
)
async def get_asset_original(request: Request, name: Name) -> Response:
    """Get the image as it was uploaded, for a folder of templates."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        content = await asset_store.get_original(connection, name)
    return Response(content, media_type="application/octet-stream", headers={"X-Content-Type-Options": "nosniff"})


@public.get("/assets/{name}")
async def get_public_file(request: Request, name: str) -> Response:
    """Return a converted image by its SHA-256, which mails link to. No other file can be read here."""
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        raise NotFoundError(asset_store.NO_FILE)
    content_type, content = await get_dependencies(request).public_files.get(bytes.fromhex(match[1]))
    if IMAGE_EXTENSIONS[content_type] != match[2]:
        raise NotFoundError(asset_store.NO_FILE)
    return Response(content, media_type=content_type, headers=_PUBLIC_HEADERS)


def _format_asset(asset: AssetView) -> dict[str, Any]:
    files = {name: msgspec.to_builtins(file) for name, file in asset.files.items()}
    return vars(asset) | {"files": files, "operations": msgspec.to_builtins(asset.operations)}
