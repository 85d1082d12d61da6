"""The calls about images for templates."""

import base64
from http import HTTPMethod

from notifier.client.asset_reply import Asset
from notifier.client.call import Answer, Call, PageCall, page_of, segment
from notifier.client.reading import decode, read
from notifier.client.request import body_of, query_of

_ROOT = "/v1/assets"


def assets() -> PageCall[Asset]:
    """All images, by name."""
    return Call(method=HTTPMethod.GET, path=_ROOT, read=lambda answer: page_of(Asset, answer, "assets"))


def asset(name: str, /) -> Call[Asset]:
    """One of them: how far it is, what it has become, or why it failed."""
    return Call(method=HTTPMethod.GET, path=f"{_ROOT}/{segment(name)}", read=_asset)


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
        body=body_of({"name": name, "content": encoded, **wish}),
        read=_asset,
    )


def delete_asset(name: str, /) -> Call[None]:
    """Forget the name; what is published goes on showing the image."""
    return Call(method=HTTPMethod.DELETE, path=f"{_ROOT}/{segment(name)}", read=_nothing)


def asset_file(name: str, /, *, scale: int | None = None) -> Call[bytes]:
    """The image as mails show it; `scale` is 1 or 2."""
    return Call(
        method=HTTPMethod.GET,
        path=f"{_ROOT}/{segment(name)}/file",
        query=query_of({"scale": scale}),
        accept="image/png, image/jpeg",
        read=lambda answer: answer.content,
    )


def _asset(answer: Answer) -> Asset:
    return read(Asset, decode(answer.content))


def _nothing(_answer: Answer) -> None:
    """The status says it all."""
