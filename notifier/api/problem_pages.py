"""`GET /problems/{code}`: what a code means and what to do, as HTML or JSON. It needs no key and holds no secret."""

import base64
import hashlib
from functools import cache
from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from notifier.api.catalogue import ENTRIES
from notifier.api.constant_reply import ConstantReply, make_page, make_reply
from notifier.errors import NotFoundError

router = APIRouter(prefix="/problems", tags=["problems"])
_STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}"
_POLICY = f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
_PAGE = """<!doctype html>
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


class ProblemPageOut(BaseModel):
    """The explanation of an error code."""

    code: str
    status: int = Field(description="The HTTP status that it comes with.")
    title: str
    meaning: str
    remedy: str = Field(description="What to do.")


@router.get(
    "/{code}",
    response_model=ProblemPageOut,
    operation_id="explain_problem",
    summary="Explain an error code",
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The explanation of the code."},
        304: {"description": "The page that `If-None-Match` names has not changed."},
    },
)
async def explain(request: Request, code: str) -> Response:
    """Explain what a code means and what to do. HTML, unless `Accept` asks for JSON."""
    if code not in ENTRIES:
        raise NotFoundError("there is no such code")
    reply = _json if "json" in request.headers.get("accept", "") else _page
    return reply(code).answer(request)


@cache
def _json(code: str) -> ConstantReply:
    entry = ENTRIES[code]
    page = ProblemPageOut(code=code, status=entry.status, title=entry.title, meaning=entry.meaning, remedy=entry.remedy)
    return make_reply(page.model_dump_json().encode(), "application/json", vary="Accept")


@cache
def _page(code: str) -> ConstantReply:
    entry = ENTRIES[code]
    fields = {"code": code, "title": entry.title, "meaning": entry.meaning, "remedy": entry.remedy}
    escaped = {name: escape(text) for name, text in fields.items()}
    return make_page(_PAGE.format(status=entry.status, style=_STYLE, **escaped), policy=_POLICY, vary="Accept")
