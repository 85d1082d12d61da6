"""`/v1/template-files`: templates as a folder of files has them. Nothing is written to the server's disk."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from msgspec.structs import replace
from pydantic import StringConstraints

from notifier.api import pagination
from notifier.api.dependencies import AuditDependency, authenticate_key, get_dependencies, open_change_transaction
from notifier.api.errors.conflict_details import build_source_reply, format_sync_results
from notifier.api.request_reader import document_body, read_model
from notifier.api.template_files.models import PushedOut, PushIn, StoredFilesPageOut
from notifier.auth.authenticated_key import KeyScope
from notifier.errors import Fault, InvalidRequestError, escape_pointer
from notifier.template_language.template_source import LAYOUTS
from notifier.templating import layout_store, template_store, validation
from notifier.templating.sync import stored_templates
from notifier.templating.sync.asset_files import ImageFile
from notifier.templating.sync.push import Push
from notifier.templating.sync.pushed_folder import PushedFolder
from notifier.templating.sync.sync_record import BaseRecord
from notifier.templating.template_store import TemplateState

MAX_FILES_PAGE = 50  # templates with all their files on a page
WRITE_SECONDS = 0.1  # that the transaction of a push may take for each template that it writes
router = APIRouter(prefix="/v1/template-files", tags=["templates"])
_SlugText = Annotated[str, StringConstraints(max_length=64, pattern=pagination.NO_NUL)]


class StoredFilesQuery(pagination.PageQuery):
    """Which templates are read, and what of them."""

    limit: Annotated[int, Query(ge=1, le=MAX_FILES_PAGE, description="Maximum number of templates on a page.")] = 20
    slug: Annotated[
        list[_SlugText] | None,
        Query(max_length=MAX_FILES_PAGE, description="Only these, as far as they exist. Default: all."),
    ] = None
    texts: Annotated[bool, Query(description="Whether the files of version and draft are returned.")] = True
    history: Annotated[bool, Query(description="Also return the hashes of all versions.")] = False


@router.get("", response_model=StoredFilesPageOut, summary="List templates with their files")
async def list_template_files(
    request: Request, response: Response, query: Annotated[StoredFilesQuery, Query()]
) -> dict[str, Any]:
    """List templates with the files of their current version and their draft; deleted ones are included."""
    await authenticate_key(request, KeyScope.TEMPLATES_READ)
    async with get_dependencies(request).database.read() as connection:
        states = await template_store.list_states(connection, query.slug, before=query.before, limit=query.limit + 1)
        page, cursor = pagination.cut_page(request, response, states, query.limit)
        slugs = [state.slug for state in page] if query.history else []
        earlier = await stored_templates.list_earlier_hashes(connection, slugs)
    return {
        "templates": [
            _build_state_reply(state, has_texts=query.texts) | {"earlier": earlier.get(state.slug, [])}
            for state in page
        ],
        "next": cursor,
    }


def _build_state_reply(state: TemplateState, *, has_texts: bool) -> dict[str, Any]:
    sources = {"version": state.source, "draft": state.draft}
    texts = {name: build_source_reply(source) if has_texts and source else None for name, source in sources.items()}
    return vars(state) | texts | {"has_draft": state.draft is not None}


@router.post("", response_model=PushedOut, summary="Push templates from files", openapi_extra=document_body(PushIn))
async def push_templates(request: Request, audit: AuditDependency) -> dict[str, Any]:
    """Check the templates of a folder and publish what differs, all or nothing. 409 if newer edits would be lost."""
    dependencies = get_dependencies(request)
    caller = await authenticate_key(request, KeyScope.TEMPLATES_PUBLISH)
    caller.require_live("changes what live mail says")
    body = await read_model(request, PushIn)
    if body.force_reason:
        caller.require_scope(KeyScope.ADMIN)
    editor, editors = caller.actor_name, dependencies.editors
    push = Push(
        database=dependencies.database,
        pool=editors.get_renderer(editor, charges_accepted=False),
        clock=dependencies.clock,
        by=editor,
        gate=dependencies.gate,
        open_slot=lambda: editors.hold_slot(editor),
        **body.model_dump(include={"note", "only_new", "overwrite", "dry_run", "force_reason"}),
    )
    plan = await push.examine(await asyncio.to_thread(_build_folder, body))
    if body.dry_run:
        audit.record_no_change()
    else:
        async with open_change_transaction(request, more_seconds=WRITE_SECONDS * len(plan.candidates)) as connection:
            await push.write(connection, plan, actor=audit.get_actor(caller))
        for slug in plan.sources:
            dependencies.template_cache.forget_template(slug)
    return {"results": format_sync_results(plan.results)}


def _build_folder(body: PushIn) -> PushedFolder:
    """Build the folder of the request; each name in it obeys the rules of names. Raises `InvalidRequestError`."""
    faults = []
    if body.overwrite and body.only_new:
        faults.append(Fault("/only_new", "not_both", "overwrite or only_new, not both"))
    layouts = {LAYOUTS + name: text for name, text in body.layouts.items()}
    for name, text in body.layouts.items():
        own = layout_store.find_layout_faults(LAYOUTS + name, text)
        faults += [Fault(f"/layouts/{escape_pointer(name)}", fault.code, fault.detail) for fault in own]
    sources = {}
    for slug, template in body.templates.items():
        source, pointer = template.source(), f"/templates/{escape_pointer(slug)}"
        own = [] if validation.SLUG.fullmatch(slug) else [Fault("", "invalid_slug", validation.SLUG_RULE)]
        own += validation.find_source_faults(source)
        faults += [Fault(pointer + fault.pointer, fault.code, fault.detail) for fault in own]
        used = layout_store.find_used_layouts(source.files, layouts.get)
        sources[slug] = replace(source, files=source.files | used)
    images = {}
    for name, image in body.images.items():
        data, options, own = image.read_image(name)
        faults += [Fault(f"/images/{escape_pointer(name)}{fault.pointer}", fault.code, fault.detail) for fault in own]
        images[name] = ImageFile(data=data, options=options)
    if faults:
        raise InvalidRequestError(faults)
    return PushedFolder(sources=sources, images=images, record=body.base.build_record() if body.base else BaseRecord())
