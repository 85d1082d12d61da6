"""The images of templates: uploaded or replaced, the state of their conversion, deleted."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.console.act import act, get_actor, open_change
from notifier.console.actor_words import name_actors
from notifier.console.context import get_console
from notifier.console.form import FormErrors, read_form
from notifier.console.page import redirect, render_page, render_part, require_member
from notifier.states import AssetMode, AssetStatus
from notifier.templating.assets import asset_store
from notifier.templating.assets.asset_store import MAX_WIDTH, AssetNotReadyError, StaleAssetError
from notifier.templating.assets.image_conversion import MAX_UPLOAD_BYTES, ImageOptions
from notifier.templating.assets.image_usage import list_image_usage
from notifier.templating.edit_rules import TooManyTemplatesError

REFUSED = 422
MAX_FORM_BYTES = MAX_UPLOAD_BYTES + 64 * 1024


class ImageForm(BaseModel):
    """An image to upload."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: Annotated[str, Field(title="a name", max_length=64)]
    width: Annotated[int | None, Field(title="the width", ge=1, le=MAX_WIDTH)] = None
    revision: int = 0  # of the image that is replaced; 0: a new one
    file: Annotated[UploadFile, Field(title="a file")]


class DeleteImageForm(BaseModel):
    """Nothing but the button."""

    model_config = ConfigDict(extra="forbid")


async def list_images(request: Request) -> Response:
    """Show all images."""
    await require_member(request)
    return await _render_list(request, None)


async def show_image_rows(request: Request) -> Response:
    """Show the table of images alone, which looks again while an image is converted."""
    await require_member(request)
    return render_part(request, "image_rows", **await _load_rows(request))


@act("upload_asset", KeyScope.TEMPLATES_EDIT)
async def upload_image(request: Request) -> Response:
    """Upload an image, or replace the one of this name."""
    form = await read_form(request, ImageForm, max_bytes=MAX_FORM_BYTES)
    if isinstance(form, FormErrors):
        return await _render_list(request, form)
    data = await form.file.read()
    options = ImageOptions(mode=AssetMode.FIT, width=form.width)
    messages = {
        fault.pointer.strip("/"): fault.detail for fault in asset_store.find_upload_faults(form.name, data, options)
    }
    if not data:
        messages["content"] = "Choose a file."
    if messages:
        named = {"file" if name == "content" else name: _word(text) for name, text in messages.items()}
        return await _render_list(request, FormErrors(values={"name": form.name}, messages=named))
    try:
        async with open_change(request) as connection:
            await asset_store.upload_asset(
                connection, form.name, data, options, revision=form.revision, actor=get_actor(request)
            )
    except StaleAssetError:
        message = "There is an image with this name already. To replace it, use the form in its row."
        return await _render_list(request, FormErrors(values={"name": form.name}, messages={"name": message}))
    except TooManyTemplatesError as error:
        return await _render_list(request, FormErrors(values={}, messages={"": _word(str(error))}))
    return await redirect(request, "/console/images", flash=f"{form.name} was uploaded. It is ready in a moment.")


@act("delete_asset", KeyScope.TEMPLATES_EDIT)
async def delete_image(request: Request) -> Response:
    """Delete the name of an image. Published versions go on showing it."""
    name = request.path_params["name"]
    await read_form(request, DeleteImageForm)
    async with open_change(request) as connection:
        await asset_store.delete_asset(connection, name, actor=get_actor(request))
    said = f"{name} was deleted. Published versions go on showing it; drafts that name it cannot be published."
    return await redirect(request, "/console/images", flash=said)


async def get_image_file(request: Request) -> Response:
    """Get the image as mails show it."""
    await require_member(request)
    async with get_console(request).read_slots.open() as connection:
        asset = await asset_store.get_asset(connection, request.path_params["name"])
        if asset.status is not AssetStatus.READY:
            raise AssetNotReadyError(asset)
        content_type, content = await asset_store.get_file(connection, bytes.fromhex(asset.files["1x"].sha256))
    return Response(content, media_type=content_type, headers={"Content-Security-Policy": "default-src 'none'"})


async def _load_rows(request: Request) -> dict[str, Any]:
    async with get_console(request).read_slots.open() as connection:
        images = await asset_store.list_assets(connection)
        usage = await list_image_usage(connection)
    names = await name_actors(request, {image.updated_by for image in images})
    waits = any(image.status is AssetStatus.PENDING for image in images)
    return {"images": images, "names": names, "waits": waits, "usage": usage}


async def _render_list(request: Request, errors: FormErrors | None) -> Response:
    rows = await _load_rows(request)
    return render_page(request, "images", status=REFUSED if errors else 200, errors=errors, max_width=MAX_WIDTH, **rows)


def _word(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


routes = [
    Route("/images", list_images),
    Route("/images", upload_image, methods=["POST"]),
    Route("/images/rows", show_image_rows),
    Route("/images/{name}/file", get_image_file),
    Route("/images/{name}/delete", delete_image, methods=["POST"]),
]
