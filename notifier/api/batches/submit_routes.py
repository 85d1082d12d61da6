"""`POST /v1/notifications/batch`: authenticate, parse, submit, answer."""

import asyncio

from fastapi import APIRouter, Request, Response

from notifier.api import request_reader
from notifier.api.batches import models
from notifier.api.dependencies import authenticate_service, get_dependencies
from notifier.api.errors.faults import FaultLister
from notifier.api.notifications.submit_routes import (
    DirectRoute,
    build_accepted,
    build_accepted_response,
    build_key_parameter,
    document_submission,
)
from notifier.api.request_reader import get_idempotency_key, load_json, parse_in_thread, read_json_text
from notifier.auth.key_scope import KeyScope
from notifier.errors import InvalidRequestError
from notifier.submission.batch_submitter import BatchRejectedError, BatchRequest
from notifier.telemetry import metrics

router = APIRouter(prefix="/v1/notifications", tags=["notifications"], route_class=DirectRoute)


@router.post(
    "/batch",
    status_code=202,
    response_model=models.BatchOut,
    summary="Submit a batch of notifications",
    openapi_extra=document_submission(models.BatchShownIn, build_key_parameter(models.INDEX_SUFFIX_LENGTH)),
)
async def submit_batch(request: Request) -> Response:
    """Accept up to a thousand notifications; each has an answer of its own, in their order."""
    dependencies = get_dependencies(request)
    with metrics.SUBMIT_SECONDS.time():
        # A batch that cannot be parsed counts as a request, so that a client that repeats it in a loop is stopped.
        caller = await authenticate_service(request, dependencies, KeyScope.SEND)
        key = get_idempotency_key(request, suffix_length=models.INDEX_SUFFIX_LENGTH)
        text = await read_json_text(request, max_bytes=models.BatchIn.limits.max_bytes)
        received, batch = await parse_in_thread(_parse_batch, text)
        dependencies.rate_limits.count_notifications(request, caller, models.count_mails(batch))
        try:
            batch_request = BatchRequest(
                items=models.parse_items(batch, received, key), key=key, reject_all=batch.rejects_all
            )
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
            else build_accepted(answer, now) | {"replayed": answer.replayed}
        )
        for index, answer in enumerate(answers)
    ]
    return build_accepted_response({"batch_id": batch_id, "results": results}, {"Location": f"/v1/batches/{batch_id}"})


def _parse_batch(text: bytes) -> tuple[models.BatchIn, models.BatchIn]:
    """Parse a batch; returns it as received, and without the fields that count as not set."""
    received = request_reader.validate_body(models.BatchIn, load_json(models.BatchIn, text))
    return received, received.drop_unset()
