"""The content of a mail, for those who may read it: in a frame, and its attachments. Each view is recorded."""

import base64
import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as default_policy
from urllib.parse import quote, unquote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.console.act import get_actor
from notifier.console.context import get_console
from notifier.console.page import require_member
from notifier.console.pages.mail_page import REACH_OF_STAFF, load_content
from notifier.console.policy import build_frame_headers
from notifier.lookup.content_preview import ContentView
from notifier.mail.link_target import insert_link_target

MAX_IMAGE_CHARACTERS = 8 * 1024 * 1024
"""Of images in one frame; further images stay as references."""
_CID = re.compile(r"cid:([^\"'\s)>]+)", re.IGNORECASE)
_DOCUMENT = Markup(
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    "<title>Mail</title><style>body {{ margin: 1rem; font: 15px/1.5 system-ui, sans-serif }} pre {{ white-space:"
    " pre-wrap; overflow-wrap: anywhere; font: inherit; margin: 0 }}</style></head><body><pre>{}</pre></body></html>"
)


async def show_frame(request: Request) -> Response:
    """Show the mail as its recipient sees it, in a document that may do nothing."""
    (await require_member(request)).member.require_scope(KeyScope.CONTENT)
    content, missing = await load_content(request, request.path_params["id"])
    if content is None:
        return _answer(_DOCUMENT.format(_make_sentence(missing or "")))
    if content.html is None:
        return _answer(_DOCUMENT.format(content.text))
    return _answer(insert_link_target(embed_images(content)), get_console(request).images.public_url or "")


async def send_file(request: Request) -> Response:
    """Send an attachment as a file that no browser opens by itself."""
    (await require_member(request)).member.require_scope(KeyScope.CONTENT)
    previewer, id_ = get_console(request).previewer, request.path_params["id"]
    number = request.path_params["number"]
    file = await previewer.load_file(REACH_OF_STAFF, id_, number, actor=get_actor(request))
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}"}
    return Response(file.data, media_type="application/octet-stream", headers=headers)


def embed_images(content: ContentView) -> str:
    """Put the inline images of a mail into its HTML, as `data:` URLs."""
    mail = message_from_bytes(content.source, _class=EmailMessage, policy=default_policy)
    images: dict[str, str] = {}
    remaining = MAX_IMAGE_CHARACTERS
    for part in mail.walk():
        name = str(part.get("Content-ID", "")).strip().strip("<>")
        if not name or part.get_content_maintype() != "image":
            continue
        payload = part.get_payload(decode=True)
        data = base64.b64encode(payload if isinstance(payload, bytes) else b"").decode()
        if len(data) <= remaining:
            remaining -= len(data)
            images[name] = f"data:{part.get_content_type()};base64,{data}"
    return _CID.sub(lambda match: images.get(unquote(match[1]), match[0]), content.html or "")


def _make_sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _answer(document: str, image_origin: str = "") -> HTMLResponse:
    return HTMLResponse(document.encode("utf-8", "replace"), headers=build_frame_headers(image_origin))


routes = [
    Route("/mail/{id:uuid}/frame", show_frame),
    Route("/mail/{id:uuid}/files/{number:int}", send_file),
]
