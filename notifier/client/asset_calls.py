"""The calls about images for templates."""

import base64

from notifier.client.asset_reply import Asset
from notifier.client.call import DELETE, GET, POST, Call, PageCall, page_of, read_as, read_nothing, segment
from notifier.client.request import body_of, query_of

_ROOT = "/v1/assets"


def assets() -> PageCall[Asset]:
    """List all images by name."""
    return Call(GET, _ROOT, page_of(Asset, "assets"))


def asset(name: str, /) -> Call[Asset]:
    """Get an image: its progress, its files, or why it failed."""
    return Call(GET, f"{_ROOT}/{segment(name)}", read_as(Asset))


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
    return Call(POST, _ROOT, read_as(Asset), body=body_of({"name": name, "content": encoded, **options}))


def delete_asset(name: str, /) -> Call[None]:
    """Delete an image. Published versions keep showing it."""
    return Call(DELETE, f"{_ROOT}/{segment(name)}", read_nothing)


def asset_file(name: str, /, *, scale: int | None = None) -> Call[bytes]:
    """Download the image that mails show; `scale` is 1 or 2."""
    return Call(
        GET,
        f"{_ROOT}/{segment(name)}/file",
        lambda answer: answer.content,
        query=query_of({"scale": scale}),
        accept="image/png, image/jpeg",
    )
