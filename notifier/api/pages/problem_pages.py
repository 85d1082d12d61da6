"""`/problems`, the index of all error codes, and `/problems/{code}`, which explains one."""

from functools import cache
from http import HTTPStatus
from itertools import groupby

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from notifier.api.errors.problem_catalogue import PROBLEM_ENTRIES
from notifier.api.pages.constant_reply import ConstantReply, accepts_json, build_reply
from notifier.api.pages.page_template import render_page
from notifier.errors import NotFoundError

router = APIRouter(prefix="/problems", tags=["problems"])


class ProblemPageOut(BaseModel):
    """The explanation of an error code."""

    code: str
    status: int = Field(description="The HTTP status that it comes with.")
    title: str
    meaning: str
    remedy: str = Field(description="What to do.")


class ProblemIndexOut(BaseModel):
    """The explanations of all error codes."""

    problems: list[ProblemPageOut]


@router.get("", include_in_schema=False)
async def list_problems(request: Request) -> Response:
    """List all error codes by status. HTML, unless `Accept` asks for JSON."""
    build = _build_index_json if accepts_json(request) else _build_index_page
    return build().answer(request)


@router.get(
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
        raise NotFoundError("there is no such code; /problems lists all")
    build = _build_problem_json if accepts_json(request) else _build_problem_page
    return build(code).answer(request)


def _get_explanation(code: str) -> ProblemPageOut:
    entry = PROBLEM_ENTRIES[code]
    return ProblemPageOut(code=code, status=entry.status, title=entry.title, meaning=entry.meaning, remedy=entry.remedy)


def _list_explanations() -> list[ProblemPageOut]:
    """List all explanations by status, and by code within a status."""
    return sorted(map(_get_explanation, PROBLEM_ENTRIES), key=lambda problem: (problem.status, problem.code))


@cache
def _build_index_json() -> ConstantReply:
    index = ProblemIndexOut(problems=_list_explanations())
    return build_reply(index.model_dump_json().encode(), "application/json", vary="Accept")


@cache
def _build_index_page() -> ConstantReply:
    groups = [
        (status, HTTPStatus(status).phrase, list(problems))
        for status, problems in groupby(_list_explanations(), key=lambda problem: problem.status)
    ]
    return render_page("problems", "", groups=groups)


@cache
def _build_problem_json(code: str) -> ConstantReply:
    return build_reply(_get_explanation(code).model_dump_json().encode(), "application/json", vary="Accept")


@cache
def _build_problem_page(code: str) -> ConstantReply:
    problem = _get_explanation(code)
    return render_page("problem", "../", problem=problem, phrase=HTTPStatus(problem.status).phrase)
