"""Pages that need no key: `/docs` and `/openapi.json`, and `/problems/{code}`, which explains a code.

They are the same for everyone until the next release, so each is built once, and has an ETag. They hold no secret.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from notifier.api.errors.problem_catalogue import PROBLEM_ENTRIES
from notifier.errors import NotFoundError

docs_router = APIRouter(include_in_schema=False)
problems_router = APIRouter(prefix="/problems", tags=["problems"])
_PAGE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""The headers of every HTML page, beside its Content-Security-Policy."""
_BASE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
_PAGE_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}"
_PAGE_POLICY = f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_PAGE_STYLE.encode()).digest()).decode()}'"
_PAGE_TEMPLATE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} · {code}</title>
<style>{style}</style>
<h1>{title}</h1>
<p><code>{code}</code>, HTTP status {status}</p>
<h2>What it means</h2>
<p>{meaning}</p>
<h2>What to do</h2>
<p>{remedy}</p>
</html>
"""


@dataclass(frozen=True)
class ConstantReply:
    """A reply with status 200, or 304 for a client that has it already (RFC 9110 §13.1.2)."""

    content: bytes
    headers: dict[str, str]

    def answer(self, request: Request) -> Response:
        """Build the response to one request."""
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if self.headers["ETag"] in known or "*" in known:
            headers = {name: value for name, value in self.headers.items() if name != "Content-Type"}
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=self.headers)


def _make_reply(content: bytes, media_type: str, *, max_age: int = 3600, vary: str | None = None) -> ConstantReply:
    """Make a reply that a cache may keep for `max_age` seconds; 0: the cache must ask each time."""
    headers = {
        "Content-Type": media_type,
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cache-Control": f"public, max-age={max_age}" if max_age else "no-cache",
    }
    return ConstantReply(content, headers | ({"Vary": vary} if vary else {}))


def _make_html_page(text: str, *, policy: str, vary: str | None = None) -> ConstantReply:
    """Make an HTML page that may load only what `policy` (CSP directives) allows."""
    reply = _make_reply(text.encode(), "text/html; charset=utf-8", vary=vary)
    reply.headers.update(_PAGE_HEADERS, **{"Content-Security-Policy": f"{_BASE_POLICY}; {policy}"})
    return reply


@docs_router.get("/docs")
async def get_documentation_page(request: Request) -> Response:
    """Show every route, to read and to try out."""
    return _make_documentation_page().answer(request)


@docs_router.get("/docs/{name}")
async def get_documentation_file(request: Request, name: str) -> Response:
    """Get a file that the page needs."""
    if name not in _MEDIA_TYPES:
        raise NotFoundError("there is no such file")
    return _make_documentation_file(name).answer(request)


@docs_router.get("/openapi.json")
async def get_openapi_document(request: Request) -> Response:
    """Get the OpenAPI document."""
    state = request.app.state
    if not hasattr(state, "description"):
        text = json.dumps(request.app.openapi(), ensure_ascii=False, separators=(",", ":"))
        state.description = _make_reply(text.encode(), "application/json", max_age=0)
    reply: ConstantReply = state.description
    return reply.answer(request)


@cache
def _make_documentation_page() -> ConstantReply:
    return _make_html_page(_SWAGGER_PAGE, policy=_SWAGGER_POLICY)


@cache
def _make_documentation_file(name: str) -> ConstantReply:
    if name == _START_SCRIPT:
        return _make_reply(_SWAGGER_SCRIPT.encode(), _MEDIA_TYPES[name])
    content = resources.files("fastapi_swagger.resources").joinpath(name).read_bytes()
    return _make_reply(content, _MEDIA_TYPES[name])


class ProblemPageOut(BaseModel):
    """The explanation of an error code."""

    code: str
    status: int = Field(description="The HTTP status that it comes with.")
    title: str
    meaning: str
    remedy: str = Field(description="What to do.")


@problems_router.get(
    "/{code}",
    response_model=ProblemPageOut,
    summary="Explain an error code",
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The explanation of the code."},
        304: {"description": "The page that `If-None-Match` names has not changed."},
    },
)
async def explain_problem(request: Request, code: str) -> Response:
    """Explain what a code means and what to do. HTML, unless `Accept` asks for JSON."""
    if code not in PROBLEM_ENTRIES:
        raise NotFoundError("there is no such code")
    reply = _make_json_reply if "json" in request.headers.get("accept", "") else _make_problem_page
    return reply(code).answer(request)


@cache
def _make_json_reply(code: str) -> ConstantReply:
    entry = PROBLEM_ENTRIES[code]
    page = ProblemPageOut(code=code, status=entry.status, title=entry.title, meaning=entry.meaning, remedy=entry.remedy)
    return _make_reply(page.model_dump_json().encode(), "application/json", vary="Accept")


@cache
def _make_problem_page(code: str) -> ConstantReply:
    entry = PROBLEM_ENTRIES[code]
    fields = {"code": code, "title": entry.title, "meaning": entry.meaning, "remedy": entry.remedy}
    escaped = {name: escape(text) for name, text in fields.items()}
    return _make_html_page(
        _PAGE_TEMPLATE.format(status=entry.status, style=_PAGE_STYLE, **escaped), policy=_PAGE_POLICY, vary="Accept"
    )
