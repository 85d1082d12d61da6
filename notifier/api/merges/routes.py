"""`/v1/merges`: a spreadsheet is uploaded and checked; then its rows are submitted, each as one notification."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from notifier.api import pagination
from notifier.api.dependencies import (
    AuditDependency,
    RequestAudit,
    authenticate_service,
    get_dependencies,
    open_change_transaction,
)
from notifier.api.fields import parse_id
from notifier.api.merges import models, upload
from notifier.api.notifications.models import ContentOut, build_content_reply
from notifier.api.pagination import PageQuery
from notifier.api.request_reader import document_body, read_optional_model
from notifier.auth.authenticated_key import Caller, KeyScope
from notifier.errors import InvalidRequestError
from notifier.jobs import job_store
from notifier.lookup import batch_progress
from notifier.merge import fault_report, merge_operations, merge_store
from notifier.merge.merge_operations import NewMerge
from notifier.merge.merge_view import MergeView

router = APIRouter(prefix="/v1/merges", tags=["merges"])
_Change = Callable[..., Awaitable[MergeView]]
_FILE_SCHEMA = {"type": "string", "format": "binary", "maxLength": upload.MAX_FILE_BYTES}
_TEMPLATE_PARAMETER = {
    "name": "template",
    "in": "query",
    "required": True,
    "description": "The slug of the template. The merge is bound to its present version.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 64},
}
_MAP_PARAMETER = {
    "name": "map",
    "in": "query",
    "description": "`heading:field` for a column whose heading does not say what it fills; may be repeated.",
    "schema": {
        "type": "array",
        "maxItems": upload.MAX_MAPPINGS,
        "items": {"type": "string", "maxLength": upload.MAX_MAPPING_LENGTH, "pattern": "^.+:.*$"},
    },
}
_FEED_PARAMETER = {
    "name": "feed",
    "in": "query",
    "description": "Merge the newest rows of this feed of your service; then there is no body.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 64},
}
_UPLOAD = {
    "parameters": [_TEMPLATE_PARAMETER, _MAP_PARAMETER, _FEED_PARAMETER],
    "requestBody": {
        "description": f"The file: CSV, XLSX or ODS, at most {upload.MAX_FILE_BYTES:,} bytes. None with `feed`.",
        "required": False,
        "content": {name: {"schema": _FILE_SCHEMA} for name in upload.MEDIA_TYPES},
    },
}


@router.post(
    "", status_code=202, response_model=models.MergeOut, summary="Upload a spreadsheet to merge", openapi_extra=_UPLOAD
)
async def create_merge(request: Request, response: Response, audit: AuditDependency) -> dict[str, Any]:
    """Upload a spreadsheet and check its rows. Nothing is sent before you start the merge. Poll `state`."""
    caller = await authenticate_service(request, KeyScope.SEND)
    feed = upload.get_feed_name(request)
    if feed is None:
        upload.require_spreadsheet(request)
    version, overrides = await upload.get_version(request), upload.parse_mappings(request)
    if faults := merge_operations.find_override_faults(version, overrides):
        raise InvalidRequestError(faults)
    actor = audit.get_actor(caller)
    async with open_change_transaction(request) as connection:
        new = NewMerge(caller=caller, version=version, overrides=overrides)
        merge_id = await merge_operations.begin_upload(connection, new, actor=actor)
    try:
        parts = request.stream() if feed is None else upload.iterate_feed(request, caller, feed)
        file = await upload.store_file(request, merge_id, parts)
        async with open_change_transaction(request) as connection:
            merge = await merge_operations.finish_upload(connection, merge_id, file, actor=actor)
    except Exception:
        await upload.discard_upload(request, merge_id)
        raise
    response.headers["location"] = f"{router.prefix}/{merge_id}"
    return await _build_reply(request, merge)


@router.get("", response_model=models.MergesOut, summary="List merges")
async def list_merges(request: Request, response: Response, query: Annotated[PageQuery, Query()]) -> dict[str, Any]:
    """List the merges of your service, newest first."""
    caller = await authenticate_service(request, KeyScope.READ)
    async with get_dependencies(request).database.read() as connection:
        merges = await merge_store.list_merges(
            connection, caller.service_id, caller.kinds_in_reach, before=query.before, limit=query.limit + 1
        )
    page, following = pagination.cut_page(request, response, merges, query.limit)
    return {"merges": [models.build_summary(merge) for merge in page], "next": following}


@router.get("/{merge_id}", response_model=models.MergeOut, summary="Get a merge")
async def get_merge(request: Request, merge_id: str) -> dict[str, Any]:
    """Get what the check has found, and how far the run is. A key that only reads sees no texts of the file."""
    caller = await authenticate_service(request, KeyScope.READ)
    reply = await _build_reply(request, await _load_merge(request, caller, merge_id))
    return reply if KeyScope.SEND in caller.scopes else models.hide_cells(reply)


@router.get("/{merge_id}/faults", response_model=models.MergeFaultsOut, summary="List the faults of a merge")
async def list_merge_faults(
    request: Request, merge_id: str, query: Annotated[models.FaultQuery, Query()]
) -> dict[str, Any]:
    """List the rows with faults: column, cell and what is wrong. The first 20,000 such rows are kept."""
    caller = await authenticate_service(request, KeyScope.SEND)
    merge = await _load_merge(request, caller, merge_id)
    async with get_dependencies(request).database.read() as connection:
        rows = await merge_store.list_faults(connection, merge.id, after=query.after, limit=query.limit + 1)
    return models.build_fault_page(rows, query.limit)


@router.get(
    "/{merge_id}/faults.csv",
    response_class=StreamingResponse,
    summary="Download the rows with faults",
    responses={200: {"content": {"text/csv": {}}, "description": "The rows with faults, and what is wrong with each."}},
)
async def download_merge_faults(request: Request, merge_id: str) -> StreamingResponse:
    """Get the rows with faults as a CSV file, with a column that says what is wrong, to correct and upload again."""
    caller = await authenticate_service(request, KeyScope.SEND)
    merge = await _load_merge(request, caller, merge_id)
    headers = {"Content-Disposition": 'attachment; filename="faults.csv"'}
    report = fault_report.build_report(get_dependencies(request).database, merge)
    return StreamingResponse(report, media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/{merge_id}/preview", response_model=ContentOut, summary="Preview a row of a merge")
async def preview_merge_row(
    request: Request,
    merge_id: str,
    row: Annotated[
        int, Query(ge=2, le=models.MAX_ROW_NUMBER, description="Its number in the file; row 1 has the headings.")
    ] = 2,
) -> dict[str, Any]:
    """Render the mail of a row. 422 with the faults of the row, if it has some."""
    caller = await authenticate_service(request, KeyScope.SEND)
    merge = await _load_merge(request, caller, merge_id)
    dependencies = get_dependencies(request)
    draft = await dependencies.merge_previewer.build_draft(merge, caller, row, dependencies.clock.now())
    return build_content_reply(await dependencies.previewer.preview_draft(draft))


@router.post(
    "/{merge_id}/start",
    response_model=models.MergeOut,
    summary="Start a merge",
    openapi_extra=document_body(models.MergeStartIn, required=False),
)
async def start_merge(request: Request, merge_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Submit the rows of a merge that was checked. A request that is repeated changes nothing."""
    caller = await authenticate_service(request, KeyScope.SEND)
    body = await read_optional_model(request, models.MergeStartIn)
    id_ = parse_id(merge_id, "merge")
    async with open_change_transaction(request) as connection:
        merge = await merge_store.get_merge(connection, caller.service_id, id_, caller.kinds_in_reach, lock=True)
        actor = audit.get_actor(caller)
        merge = await merge_operations.start_merge(connection, merge, body.build_options(), actor=actor)
    return await _build_reply(request, merge)


@router.post("/{merge_id}/pause", response_model=models.MergeOut, summary="Pause a merge")
async def pause_merge(request: Request, merge_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Submit no more rows, and hold the mails that are queued. The request may be repeated."""
    return await _stop_merge(request, merge_id, audit, merge_operations.pause_merge)


@router.post("/{merge_id}/resume", response_model=models.MergeOut, summary="Resume a merge")
async def resume_merge(request: Request, merge_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Continue a paused merge where it was."""
    return await _build_reply(request, await _change_merge(request, merge_id, audit, merge_operations.resume_merge))


@router.post("/{merge_id}/cancel", response_model=models.MergeOut, summary="Cancel a merge")
async def cancel_merge(request: Request, merge_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Submit no more rows, and withdraw the mails that are queued. The request may be repeated."""
    return await _stop_merge(request, merge_id, audit, merge_operations.cancel_merge)


async def _stop_merge(request: Request, merge_id: str, audit: RequestAudit, stop: _Change) -> dict[str, Any]:
    merge = await _change_merge(request, merge_id, audit, stop)
    async with open_change_transaction(request) as connection:
        await merge_operations.finish_stop(connection, merge)
    return await _build_reply(request, merge)


async def _change_merge(request: Request, merge_id: str, audit: RequestAudit, change: _Change) -> MergeView:
    caller = await authenticate_service(request, KeyScope.SEND)
    id_, actions = parse_id(merge_id, "merge"), get_dependencies(request).job_actions
    async with open_change_transaction(request) as connection:
        merge = await merge_store.get_merge(connection, caller.service_id, id_, caller.kinds_in_reach)
        return await change(connection, merge, actions, actor=audit.get_actor(caller))


async def _load_merge(request: Request, caller: Caller, merge_id: str) -> MergeView:
    id_ = parse_id(merge_id, "merge")
    async with get_dependencies(request).database.read() as connection:
        return await merge_store.get_merge(connection, caller.service_id, id_, caller.kinds_in_reach)


async def _build_reply(request: Request, merge: MergeView) -> dict[str, Any]:
    job_id = merge.run_job_id or merge.check_job_id
    async with get_dependencies(request).database.read() as connection:
        run = await job_store.find_run(connection, job_id) if job_id is not None else None
        batch = None
        if merge.run_job_id is not None:
            batch = await batch_progress.get_batch(connection, merge.service_id, merge.id)
    return models.build_merge_reply(merge, run, batch)
