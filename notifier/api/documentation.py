"""`/docs` and `/openapi.json`: the description of the API for people and programs, without a CDN."""

import json
from functools import cache
from importlib import resources

from fastapi import APIRouter, Request
from fastapi.responses import Response

from notifier.api.constant_reply import ConstantReply, make_page, make_reply
from notifier.errors import NotFoundError

router = APIRouter(include_in_schema=False)
_START = "start.js"
_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
    _START: "text/javascript",
}
# Swagger UI loads its icons from data: URLs and uses inline styles.
_POLICY = "script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
# The page does not store the key that a reader types in.
_SCRIPT = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  filter: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_PAGE = f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Notifier</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/{_START}"></script>
</html>
"""


@router.get("/docs")
async def page(request: Request) -> Response:
    """Show every route, to read and to try out."""
    return _page().answer(request)


@router.get("/docs/{name}")
async def asset(request: Request, name: str) -> Response:
    """Get a file that the page needs."""
    if name not in _MEDIA_TYPES:
        raise NotFoundError("there is no such file")
    return _file(name).answer(request)


@router.get("/openapi.json")
async def document(request: Request) -> Response:
    """Get the OpenAPI document."""
    state = request.app.state
    if not hasattr(state, "description"):
        text = json.dumps(request.app.openapi(), ensure_ascii=False, separators=(",", ":"))
        state.description = make_reply(text.encode(), "application/json", max_age=0)
    reply: ConstantReply = state.description
    return reply.answer(request)


@cache
def _page() -> ConstantReply:
    return make_page(_PAGE, policy=_POLICY)


@cache
def _file(name: str) -> ConstantReply:
    if name == _START:
        return make_reply(_SCRIPT.encode(), _MEDIA_TYPES[name])
    content = resources.files("fastapi_swagger.resources").joinpath(name).read_bytes()
    return make_reply(content, _MEDIA_TYPES[name])
