"""`GET /problems/{code}`: what a code means and what to do, for a browser or as JSON; open to all, never a secret."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from notifier.api.catalogue import ENTRIES, Entry
from notifier.errors import NotFoundError

router = APIRouter(prefix="/problems", tags=["problems"])
_CACHE = {"Cache-Control": "public, max-age=3600", "Vary": "Accept"}
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title} · {code}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}}</style>
<h1>{title}</h1>
<p><code>{code}</code>, HTTP status {status}</p>
<h2>What it means</h2>
<p>{meaning}</p>
<h2>What to do</h2>
<p>{remedy}</p>
</html>
"""


class ProblemPageOut(BaseModel):
    """A code, explained."""

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
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The code, explained."}},
)
async def explain(request: Request, code: str) -> Response:
    """What a code means and what to do. HTML, unless `Accept` asks for JSON."""
    entry = ENTRIES.get(code)
    if entry is None:
        raise NotFoundError("there is no such code")
    if "json" in request.headers.get("accept", ""):
        page = ProblemPageOut(
            code=code, status=entry.status, title=entry.title, meaning=entry.meaning, remedy=entry.remedy
        )
        return Response(page.model_dump_json(), headers=_CACHE, media_type="application/json")
    return HTMLResponse(_html(code, entry), headers=_CACHE)


def _html(code: str, entry: Entry) -> str:
    fields = {"code": code, "title": entry.title, "meaning": entry.meaning, "remedy": entry.remedy}
    return _PAGE.format(status=entry.status, **{name: escape(text) for name, text in fields.items()})
