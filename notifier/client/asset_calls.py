"""The calls about images for templates."""

import base64

from notifier.client.api_call import DELETE, GET, POST, Call, PageCall, check_segment, read_as, read_nothing, read_page
from notifier.client.asset_reply import Asset
from notifier.client.request_fields import build_body, build_query

_ROOT = "/v1/assets"


def list_assets() -> PageCall[Asset]:
    """List all images by name."""
    return Call(GET, _ROOT, read_page(Asset, "assets"))


def get_asset(name: str, /) -> Call[Asset]:
    """Get an image: its progress, its files, or why it failed."""
    return Call(GET, f"{_ROOT}/{check_segment(name)}", read_as(Asset))


def upload_asset(
    name: str,
    content: bytes,
    /,
    *,
    mode: str | None = None,
    width: int | None = None,
    height: int | None = None,
    revision: int | None = None,
) -> Call[Asset]:
    """Upload an image (PNG, JPEG, GIF, WebP). `revision` is that of the image it replaces; None for a new name."""
    options = {"mode": mode, "width": width, "height": height, "revision": revision}
    encoded = base64.b64encode(content).decode()
    return Call(POST, _ROOT, read_as(Asset), body=build_body({"name": name, "content": encoded, **options}))


def delete_asset(name: str, /) -> Call[None]:
    """Delete an image. Published versions keep showing it."""
    return Call(DELETE, f"{_ROOT}/{check_segment(name)}", read_nothing)


def get_asset_file(name: str, /, *, scale: int | None = None) -> Call[bytes]:
    """Download the image that mails show; `scale` is 1 or 2."""
    return Call(
        GET,
        f"{_ROOT}/{check_segment(name)}/file",
        lambda answer: answer.content,
        query=build_query({"scale": scale}),
        accept="image/png, image/jpeg",
    )
