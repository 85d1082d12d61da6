"""`/docs`, which shows every route to read and to try out, and `/openapi.json`."""

import json
from functools import cache
from importlib import resources

from fastapi import APIRouter, Request
from fastapi.responses import Response

from notifier.api.pages.constant_reply import ConstantReply, build_html_page, build_reply
from notifier.errors import NotFoundError

router = APIRouter(include_in_schema=False)
_START_SCRIPT = "start.js"
_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
    _START_SCRIPT: "text/javascript",
}
# Swagger UI loads its icons from data: URLs and uses inline styles.
_SWAGGER_POLICY = "script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"
# The page does not store the key that a reader types in.
_SWAGGER_SCRIPT = """\
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
_SWAGGER_PAGE = f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Notifier</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/{_START_SCRIPT}"></script>
</html>
"""


@router.get("/docs")
async def get_documentation_page(request: Request) -> Response:
    """Show every route, to read and to try out."""
    return _build_documentation_page().answer(request)


@router.get("/docs/{name}")
async def get_documentation_file(request: Request, name: str) -> Response:
    """Get a file that the page needs."""
    if name not in _MEDIA_TYPES:
        raise NotFoundError("there is no such file")
    return _build_documentation_file(name).answer(request)


@router.get("/openapi.json")
async def get_openapi_document(request: Request) -> Response:
    """Get the OpenAPI document."""
    state = request.app.state
    if not hasattr(state, "description"):
        text = json.dumps(request.app.openapi(), ensure_ascii=False, separators=(",", ":"))
        state.description = build_reply(text.encode(), "application/json", max_age=0)
    reply: ConstantReply = state.description
    return reply.answer(request)


@cache
def _build_documentation_page() -> ConstantReply:
    return build_html_page(_SWAGGER_PAGE, policy=_SWAGGER_POLICY)


@cache
def _build_documentation_file(name: str) -> ConstantReply:
    if name == _START_SCRIPT:
        return build_reply(_SWAGGER_SCRIPT.encode(), _MEDIA_TYPES[name])
    content = resources.files("fastapi_swagger.resources").joinpath(name).read_bytes()
    return build_reply(content, _MEDIA_TYPES[name])
