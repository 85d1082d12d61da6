"""`/v1/templates/{slug}/gate`: what publishing would do to the callers, as one reply or as a stream.

Nothing is changed. Diffs show values of recent requests; to show secret ones needs a scope, and is recorded.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
from fastapi import APIRouter, Request

from notifier.api.dependencies import AuditDependency, Dependencies, authenticate_key, open_change_transaction
from notifier.api.request_reader import document_body, read_optional_model
from notifier.api.templates.gate_models import GateIn, GateOut
from notifier.api.templates.request_models import Slug
from notifier.auth.key_scope import KeyScope
from notifier.errors import NotifierError
from notifier.sse import EventStream
from notifier.telemetry.logging import get_logger
from notifier.templating import draft_store, validation
from notifier.templating.gate.gate_report import GateReport
from notifier.templating.gate.publish_gate import ProgressCallback, record_unmasking

router = APIRouter(prefix="/v1/templates", tags=["templates"])
STREAM = "text/event-stream"


@router.post(
    "/{slug}/gate",
    response_model=GateOut,
    operation_id="try_template",
    summary="Try a template on recent requests",
    openapi_extra=document_body(GateIn, required=False),
    responses={
        200: {
            "content": {STREAM: {}},
            "description": "The report; as events, if they are what you accept: `done` and `total`, then `report`.",
        }
    },
)
async def try_template(request: Request, slug: Slug, dependencies: Dependencies, audit: AuditDependency) -> Any:
    """Try the draft on the newest requests of each service: who would be refused, and which mails change."""
    caller = await authenticate_key(request, dependencies, KeyScope.TEMPLATES_PUBLISH)
    body = await read_optional_model(request, GateIn)
    if body.unmasked:
        caller.require_scope(KeyScope.UNMASKED)
    caller.require_live("sees what live mail says")
    source = await draft_store.load_source(dependencies.database, slug, body.version)
    checked = await dependencies.editors.get_renderer(caller.actor_name).check(source)
    validation.require_renderable(checked)
    if body.unmasked:
        async with open_change_transaction(dependencies) as connection:
            await record_unmasking(connection, slug, actor=audit.get_actor(caller))
    audit.record_no_change()

    async def try_source(progress: ProgressCallback | None = None) -> GateReport:
        async with dependencies.editors.hold_slot(caller.actor_name) as slot:
            slot.start()
            return await dependencies.gate.try_source(
                slug, source, checked, masked=not body.unmasked, progress=progress
            )

    if STREAM in request.headers.get("accept", ""):
        return EventStream(_stream_report(try_source), dependencies.streams, caller.key_id)
    return (await try_source()).as_json()


async def _stream_report(
    try_source: Callable[[ProgressCallback], Coroutine[Any, Any, GateReport]],
) -> AsyncIterator[str]:
    """Yield the progress as events, and then the report; the work ends with the reader."""
    steps: asyncio.Queue[dict[str, int] | None] = asyncio.Queue()
    task = asyncio.create_task(try_source(lambda done, total: steps.put_nowait({"done": done, "total": total})))
    task.add_done_callback(lambda _: steps.put_nowait(None))
    try:
        while (step := await steps.get()) is not None:
            yield _encode_event(step)
        yield _encode_event({"report": (await task).as_json()})
    except NotifierError as error:
        get_logger().warning("gate_failed", error=type(error).__name__)
        yield _encode_event({"failed": str(error)})
    finally:
        task.cancel()


def _encode_event(event: dict[str, Any]) -> str:
    return msgspec.json.encode(event).decode()
