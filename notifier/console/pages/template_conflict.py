"""Two people saved one draft: both sides of each part, and the choice between them. Nothing is lost."""

import asyncio
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from notifier.auth.authenticated_key import KeyScope
from notifier.console.act import act, get_actor, open_change
from notifier.console.actor_words import name_actors
from notifier.console.context import get_console
from notifier.console.diff_rows import DiffRow, build_diff_rows
from notifier.console.form import FormErrors, read_form
from notifier.console.page import redirect, render_page
from notifier.console.template_form import word_part
from notifier.errors import InvalidRequestError
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, source_diff
from notifier.templating.draft_store import DraftView, StaleDraftError
from notifier.templating.validation import SAMPLE, SETTINGS_FILE

CONFLICT, BAD_REQUEST = 409, 400
MINE, THEIRS = "mine", "theirs"


class ConflictForm(BaseModel):
    """What was chosen for each part that differs."""

    model_config = ConfigDict(extra="forbid")

    revision: str  # of their side
    yours: str  # JSON of the own side
    file: list[str]
    choice: list[str]


@dataclass(frozen=True, kw_only=True)
class DifferingPart:
    """A part that both have changed."""

    file: str
    word: str
    rows: list[DiffRow]


async def show_conflict(request: Request, theirs: DraftView, yours: TemplateSource) -> Response:
    """Show both sides of each part that differs."""
    differences = await asyncio.to_thread(source_diff.compare_sources, theirs.source, yours)
    parts = [
        DifferingPart(file=each.file, word=word_part(each.file), rows=build_diff_rows(each.diff))
        for each in differences
    ]
    names = await name_actors(request, [theirs.updated_by or ""])
    return render_page(
        request,
        "template_conflict",
        status=CONFLICT,
        theirs=theirs,
        who=names.get(theirs.updated_by or "", "somebody"),
        parts=parts,
        yours=msgspec.json.encode(yours).decode(),
    )


@act("save_template_draft", KeyScope.TEMPLATES_EDIT)
async def merge_drafts(request: Request) -> Response:
    """Save what was chosen of both sides as the draft."""
    console, slug = get_console(request), request.path_params["slug"]
    form = await read_form(request, ConflictForm)
    if isinstance(form, FormErrors):
        raise HTTPException(BAD_REQUEST, "; ".join(form.messages.values()))
    try:
        yours = msgspec.json.decode(form.yours, type=TemplateSource)
    except msgspec.DecodeError as error:
        raise HTTPException(BAD_REQUEST, "Your side of the draft could not be read.") from error
    async with console.read_slots.open() as connection:
        stored = await draft_store.get_draft(connection, slug)
    if stored.revision != form.revision or stored.source is None:
        return await show_conflict(request, stored, yours)
    merged = choose_parts(stored.source, yours, dict(zip(form.file, form.choice, strict=False)))
    renderer = console.editors.get_renderer(request.state.session.member.actor_name)
    try:
        checked = await draft_store.check_draft(
            console.read_slots.open, renderer, slug, merged, revision=form.revision, unfinished=True
        )
        async with open_change(request) as connection:
            await draft_store.save_draft(
                connection, slug, merged, revision=form.revision, actor=get_actor(request), faults=checked.faults
            )
    except StaleDraftError as error:
        return await show_conflict(request, error.theirs, yours)
    except InvalidRequestError as error:
        raise HTTPException(BAD_REQUEST, "; ".join(fault.detail for fault in error.faults)) from error
    return await redirect(request, f"/console/templates/{slug}/edit", flash="Saved what you chose of both sides.")


def choose_parts(theirs: TemplateSource, mine: TemplateSource, choices: dict[str, str]) -> TemplateSource:
    """Take each part from the chosen side; what is not named is the same on both."""

    def choose(file: str, of_mine: Any, of_theirs: Any) -> Any:
        return of_theirs if choices.get(file) == THEIRS else of_mine

    files = {}
    for name in {*theirs.files, *mine.files}:
        text = choose(name, mine.files.get(name), theirs.files.get(name))
        if text is not None:
            files[name] = text
    return msgspec.structs.replace(
        mine,
        files=files,
        settings=choose(SETTINGS_FILE, mine.settings, theirs.settings),
        sample=choose(SAMPLE, mine.sample, theirs.sample),
    )


routes = [Route("/templates/{slug}/merge", merge_drafts, methods=["POST"])]
