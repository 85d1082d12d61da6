"""The calls about images for templates."""

import base64
from http import HTTPMethod

from notifier.client.api_call import Call, HttpResponse, PageCall, check_segment, read_page
from notifier.client.asset_reply import Asset
from notifier.client.reply_reader import decode_object, read_reply
from notifier.client.request_fields import build_body, build_query

_ROOT = "/v1/assets"


def list_assets() -> PageCall[Asset]:
    """All images, by name."""
    return Call(method=HTTPMethod.GET, path=_ROOT, read=lambda answer: read_page(Asset, answer, "assets"))


def get_asset(name: str, /) -> Call[Asset]:
    """One of them: how far it is, what it has become, or why it failed."""
    return Call(method=HTTPMethod.GET, path=f"{_ROOT}/{check_segment(name)}", read=_asset)


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
    """Upload an image (PNG, JPEG, GIF, WebP); `revision` is that of the one it replaces, none for a new name."""
    wish = {"mode": mode, "width": width, "height": height, "revision": revision}
    encoded = base64.b64encode(content).decode()
    return Call(
        method=HTTPMethod.POST,
        path=_ROOT,
        body=build_body({"name": name, "content": encoded, **wish}),
        read=_asset,
    )


def delete_asset(name: str, /) -> Call[None]:
    """Forget the name; what is published goes on showing the image."""
    return Call(method=HTTPMethod.DELETE, path=f"{_ROOT}/{check_segment(name)}", read=_nothing)


def get_asset_file(name: str, /, *, scale: int | None = None) -> Call[bytes]:
    """The image as mails show it; `scale` is 1 or 2."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_ROOT}/{check_segment(name)}/file",
        query=build_query({"scale": scale}),
        accept="image/png, image/jpeg",
        read=lambda answer: answer.content,
    )


def _asset(answer: HttpResponse) -> Asset:
    return read_reply(Asset, decode_object(answer.content))


def _nothing(_answer: HttpResponse) -> None:
    """The status says it all."""
