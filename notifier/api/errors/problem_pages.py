"""`GET /problems/{code}`: what a code means and what to do, as HTML or JSON. It needs no key and holds no secret."""

import base64
import hashlib
from functools import cache
from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from notifier.api.constant_reply import ConstantReply, make_constant_reply, make_html_page
from notifier.api.errors.problem_catalogue import PROBLEM_ENTRIES
from notifier.errors import NotFoundError

router = APIRouter(prefix="/problems", tags=["problems"])
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
    return make_constant_reply(page.model_dump_json().encode(), "application/json", vary="Accept")


@cache
def _make_problem_page(code: str) -> ConstantReply:
    entry = PROBLEM_ENTRIES[code]
    fields = {"code": code, "title": entry.title, "meaning": entry.meaning, "remedy": entry.remedy}
    escaped = {name: escape(text) for name, text in fields.items()}
    return make_html_page(
        _PAGE_TEMPLATE.format(status=entry.status, style=_PAGE_STYLE, **escaped), policy=_PAGE_POLICY, vary="Accept"
    )
