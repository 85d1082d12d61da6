"""`/docs`: the API's description for people, drawn by Swagger UI from our own server, without a CDN."""

from importlib import resources

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response

from notifier.errors import NotFoundError

router = APIRouter(include_in_schema=False)
_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    """Every route, to read and to try out."""
    root = request.scope.get("root_path", "").rstrip("/")
    return get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title=request.app.title,
        swagger_js_url=f"{root}/docs/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/docs/swagger-ui.css",
        swagger_favicon_url=f"{root}/docs/favicon-32x32.png",
        swagger_ui_parameters={"persistAuthorization": True, "filter": True, "displayRequestDuration": True},
    )


@router.get("/docs/{name}")
async def asset(name: str) -> Response:
    """A file that the page needs."""
    if name not in _MEDIA_TYPES:
        raise NotFoundError("there is no such file")
    content = resources.files("fastapi_swagger.resources").joinpath(name).read_bytes()
    return Response(content, headers={"Cache-Control": "public, max-age=3600"}, media_type=_MEDIA_TYPES[name])
