"""`POST /v1/notifications/batch`, and `/v1/batches/{id}`: its progress, once or as a stream, and its cancellation."""

import asyncio
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from notifier.api import request_reader
from notifier.api.batches import models
from notifier.api.batches.models import BatchCancelledOut, BatchProgressOut
from notifier.api.change_stream import WatchedObject, document_stream, open_change_stream
from notifier.api.dependencies import AuditDependency, authenticate_service, get_dependencies, open_change_transaction
from notifier.api.errors.faults import FaultLister
from notifier.api.fields import parse_id
from notifier.api.notifications import submission_models, submit_routes
from notifier.auth.authenticated_key import KeyScope
from notifier.errors import InvalidRequestError
from notifier.lookup import batch_progress
from notifier.lookup.batch_progress import BatchView
from notifier.status import batch_cancellation
from notifier.submission.batch_submitter import BatchRejectedError, BatchRequest
from notifier.telemetry import metrics

submit_router = APIRouter(prefix="/v1/notifications", tags=["notifications"], route_class=submit_routes.DirectRoute)
router = APIRouter(prefix="/v1/batches", tags=["batches"])


@submit_router.post(
    "/batch",
    status_code=202,
    response_model=models.BatchOut,
    summary="Submit a batch of notifications",
    openapi_extra=submit_routes.document_submission(
        models.BatchShownIn, submit_routes.build_key_parameter(models.INDEX_SUFFIX_LENGTH)
    ),
)
async def submit_batch(request: Request) -> Response:
    """Accept up to a thousand notifications; each has an answer of its own, in their order."""
    dependencies = get_dependencies(request)
    with metrics.SUBMIT_SECONDS.time():
        # A batch that cannot be parsed counts as a request, so that a client that repeats it in a loop is stopped.
        caller = await authenticate_service(request, KeyScope.SEND)
        key = request_reader.get_idempotency_key(request, suffix_length=models.INDEX_SUFFIX_LENGTH)
        text = await request_reader.read_json_text(request, max_bytes=models.BatchIn.limits.max_bytes)
        received, batch = await request_reader.parse_in_thread(_parse_batch, text)
        dependencies.rate_limits.count_notifications(request, caller, models.count_mails(batch))
        try:
            reject_all = batch.on_error is models.OnError.REJECT_ALL
            items = models.parse_items(batch, received, key)
            batch_request = BatchRequest(items=items, key=key, reject_all=reject_all)
            batch_id, answers = await dependencies.batch_submitter.submit(caller, batch_request)
        except BatchRejectedError as error:
            raise InvalidRequestError(await asyncio.to_thread(models.list_batch_faults, batch, error.faults)) from error
    now = dependencies.clock.now()
    lister = FaultLister(max_bytes=models.MAX_BATCH_FAULTS_BYTES)
    results = [
        {"index": index}
        | (
            {"error": models.build_item_error(batch, index, answer, lister)}
            if isinstance(answer, list)
            else submit_routes.build_accepted(answer, now) | {"replayed": answer.replayed}
        )
        for index, answer in enumerate(answers)
    ]
    return submit_routes.build_accepted_response(
        {"batch_id": batch_id, "results": results}, {"Location": f"/v1/batches/{batch_id}"}
    )


@router.get("/{batch_id}", response_model=BatchProgressOut, summary="Get the progress of a batch")
async def get_batch(request: Request, batch_id: str) -> dict[str, Any]:
    """Get the progress of a batch."""
    caller = await authenticate_service(request, KeyScope.READ)
    return _build_progress(await _load_progress(request, caller.service_id, parse_id(batch_id, "batch")))


@router.get(
    "/{batch_id}/progress",
    response_class=StreamingResponse,
    summary="Stream the progress of a batch",
    responses=document_stream("get_batch"),
)
async def watch_batch(request: Request, batch_id: str) -> StreamingResponse:
    """The same as server-sent events: one at once, and one for each change, until all notifications have ended.

    A stream that ends earlier gives the reason in an event named `end`: after ten minutes (`time_limit`), when the key
    has ended (`unauthenticated`), when the server stops (`shutting_down`), or when its database is out of reach.
    """
    caller = await authenticate_service(request, KeyScope.READ)
    watch = get_dependencies(request).batch_watch
    watched = WatchedObject(
        first=await _load_progress(request, caller.service_id, parse_id(batch_id, "batch")),
        load=partial(watch.get_current, caller.service_id),
        has_ended=lambda view: view.ended >= view.accepted,
        encode=lambda view: msgspec.json.encode(_build_progress(view)).decode(),
        seconds=watch.seconds,
    )
    return open_change_stream(request, caller, watched)


@router.post(
    "/{batch_id}/cancel",
    response_model=BatchCancelledOut,
    summary="Cancel a batch",
    openapi_extra=request_reader.document_body(submission_models.ChangeIn, required=False),
)
async def cancel_batch(request: Request, batch_id: str, audit: AuditDependency) -> dict[str, Any]:
    """Stop every mail of the batch that is not on its way yet. The request may be repeated."""
    caller = await authenticate_service(request, KeyScope.SEND)
    body = await request_reader.read_optional_model(request, submission_models.ChangeIn)
    id_ = parse_id(batch_id, "batch")
    async with open_change_transaction(request) as connection:
        actor, reach = audit.get_actor(caller), caller.kinds_in_reach
        step = await batch_cancellation.cancel_batch(
            connection, caller.service_id, id_, actor=actor, reach=reach, comment=body.comment
        )
    if step.last is not None:
        async with open_change_transaction(request) as connection:
            await batch_cancellation.release_claimed(connection, caller.service_id, id_)
    return _build_progress(await _load_progress(request, caller.service_id, id_)) | {"cancelled": step.stopped}


def _parse_batch(text: bytes) -> tuple[models.BatchIn, models.BatchIn]:
    """Parse a batch; returns it as received, and without the fields that count as not set."""
    received = request_reader.validate_body(models.BatchIn, request_reader.load_json(models.BatchIn, text))
    return received, received.drop_unset()


async def _load_progress(request: Request, service_id: UUID, id_: UUID) -> BatchView:
    async with get_dependencies(request).database.read() as connection:
        return await batch_progress.get_batch(connection, service_id, id_)


def _build_progress(view: BatchView) -> dict[str, Any]:
    return {name: getattr(view, name) for name in BatchProgressOut.model_fields}
