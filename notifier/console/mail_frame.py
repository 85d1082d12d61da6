"""Shows a mail in a frame: a document with a policy of its own, in which nothing runs."""

from collections.abc import Mapping

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from notifier.console.context import get_console
from notifier.console.policy import build_frame_headers
from notifier.mail.link_target import insert_link_target
from notifier.mail.mail_parts import PinnedAsset, build_content_id, list_shown_images
from notifier.rendering.protocol import PreviewedMail

_TEXT_DOCUMENT = Markup(
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    "<title>{}</title><style>body {{ margin: 1rem; font: 14px/1.5 {} }} pre {{ white-space: pre-wrap;"
    " overflow-wrap: anywhere; font: inherit; margin: 0 }}</style></head><body><pre>{}</pre></body></html>"
)
_MONOSPACE, _SANS = Markup("ui-monospace, monospace"), Markup("system-ui, sans-serif")


async def show_mail(
    request: Request, mail: PreviewedMail, assets: Mapping[str, PinnedAsset], view: str
) -> HTMLResponse:
    """Answer with a mail as a frame shows it: `view` is html, text or source."""
    if view == "html" and mail.html is not None:
        return await show_html(request, mail.html, assets)
    text = mail.wire.decode("utf-8", "replace") if view == "source" else mail.text
    return show_text(text, is_code=view == "source")


async def show_html(request: Request, html: str, assets: Mapping[str, PinnedAsset]) -> HTMLResponse:
    """Answer with HTML whose inline images are part of the document."""
    console = get_console(request)
    names = list_shown_images(assets, html)
    lines = await console.images.load_base64([assets[name].sha256 for name in names])
    for name in names:
        asset = assets[name]
        data = lines[asset.sha256].replace(b"\r\n", b"").decode()
        html = html.replace(f"cid:{build_content_id(name, asset)}", f"data:{asset.content_type};base64,{data}")
    html = insert_link_target(html)  # the sandbox opens no new tab, so links do nothing
    return HTMLResponse(html.encode("utf-8", "replace"), headers=build_frame_headers(console.images.public_url or ""))


def show_text(text: str, *, is_code: bool = False, status: int = 200) -> HTMLResponse:
    """Answer with a text as a document."""
    document = _TEXT_DOCUMENT.format("Preview", _MONOSPACE if is_code else _SANS, text)
    return HTMLResponse(document.encode("utf-8", "replace"), status, headers=build_frame_headers())
