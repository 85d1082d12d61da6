"""`/v1/templates/{slug}/gate`: what publishing would do to those who use the template, at once or as it is found out.

Nothing is changed. Diffs show what was really asked for; secret values only to who may see them, which is recorded.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from notifier.api import fields
from notifier.api.authentication import authenticate_key
from notifier.api.body.model_reader import document_body, read_optional_model
from notifier.api.body.request_model import RequestModel
from notifier.api.dependencies import Dependencies, open_change_transaction
from notifier.api.request_audit import AuditDependency
from notifier.api.templates.request_models import Slug
from notifier.auth.key_scope import KeyScope
from notifier.errors import NotifierError
from notifier.rendering.protocol import SourceCheck
from notifier.sse import EventStream
from notifier.telemetry.logging import get_logger
from notifier.template_language.template_source import TemplateSource
from notifier.templating import draft_store, validation
from notifier.templating.gate.gate_report import GateReport
from notifier.templating.gate.publish_gate import ProgressCallback, PublishGate, record_unmasking
from notifier.throttle.editor_slots import EditorSlot

router = APIRouter(prefix="/v1/templates", tags=["templates"])
STREAM = "text/event-stream"


class GateIn(RequestModel):
    """What is to be tried, and who looks."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: fields.PositiveWholeNumber | None = Field(
        None, description="An old version, as `restore` would publish it; default: the draft."
    )
    unmasked: bool = Field(
        default=False, description="Show secret values; needs the scope `content:unmasked`, is recorded."
    )


class RefusalOut(BaseModel):
    """Something for which requests would be answered 422."""

    pointer: str = Field(description="JSON pointer; `*` stands for any place in a list.")
    code: str
    detail: str
    requests: int = Field(description="How many of those that were looked at.")
    keys: list[str] = Field(description="Ids of the keys that made them.")


class FailureOut(BaseModel):
    """A place where mails could not be made."""

    part: str
    line: int | None
    message: str
    requests: int
    keys: list[str]


class TriedOut(BaseModel):
    """What becomes of one service's requests."""

    service_id: UUID
    service: str
    looked: int = Field(description="Requests that were looked at: its newest ones, at most 200.")
    refused: int = Field(description="Would be answered 422, and are not today.")
    failing: int = Field(description="Could not be made into a mail, and can today.")
    broken_already: int = Field(description="Are refused or fail today as well.")
    changed: int = Field(description="Mails that differ.")
    untried: int = Field(description="Were not rendered: another one overran, or this machine had no time.")
    refusals: list[RefusalOut]
    failures: list[FailureOut]


class ExampleOut(BaseModel):
    """A mail that changes, for one kind of change."""

    service: str
    locale: str | None
    changed: list[str] = Field(description="Of `subject`, `html`, `text`.")
    alike: int = Field(description="How many mails change like this.")
    diffs: dict[str, str] = Field(description="A unified diff of each part.")
    note: str = Field(description="Why there is none.")


class VariableOut(BaseModel):
    """A variable of a template."""

    path: str = Field(description="Dotted; what is in a list has the list's path.")
    required: bool
    type: str = Field(description="Of JSON; empty: any.")


class AlteredOut(BaseModel):
    """A variable that is not what it was."""

    before: VariableOut
    after: VariableOut


class UsingOut(BaseModel):
    """A key that has used the template lately."""

    key_id: UUID
    key: str = Field(description="Its name.")
    service: str
    last_used_at: datetime = Field(description="To within a minute.")


class GateOut(BaseModel):
    """What publishing would do to those who use the template."""

    slug: str
    content_hash: str = Field(description="Of what was tried.")
    number: int | None = Field(description="Of the version that it was compared with; null: nothing is published.")
    blocks: bool = Field(description="Something that works today would not.")
    reasons: list[str]
    looked: int
    changed: int
    services: list[TriedOut]
    examples: list[ExampleOut]
    added: list[VariableOut]
    removed: list[VariableOut]
    altered: list[AlteredOut]
    keys: list[UsingOut] = Field(description="That have used the template within thirty days.")
    masked: bool = Field(description="Secret values are hidden in the diffs.")


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
async def try_template(request: Request, slug: Slug, doors: Dependencies, audited: AuditDependency) -> Any:
    """Try the draft on the newest requests of each service: who would be refused, and which mails change."""
    caller = await authenticate_key(request, doors, KeyScope.TEMPLATES_PUBLISH)
    wanted = await read_optional_model(request, GateIn)
    if wanted.unmasked:
        caller.require_scope(KeyScope.UNMASKED)
    caller.require_live("sees what live mail says")
    source = await draft_store.load_source(doors.database, slug, wanted.version)
    checked = await doors.editors.get_renderer(caller.actor_name).check(source)
    validation.require_renderable(checked)
    if wanted.unmasked:
        async with open_change_transaction(doors) as connection:
            await record_unmasking(connection, slug, actor=audited.get_actor(caller))
    audited.record_no_change()
    turn = doors.editors.hold_slot(caller.actor_name)
    what = (slug, source, checked)
    looking = _GateRun(gate=doors.gate, turn=turn, what=what, masked=not wanted.unmasked)
    if STREAM in request.headers.get("accept", ""):
        return EventStream(looking.events(), doors.streams, caller.key_id)
    return (await looking.report(None)).as_json()


class _GateRun:
    """One look, at once or step by step."""

    def __init__(
        self,
        *,
        gate: PublishGate,
        turn: AbstractAsyncContextManager[EditorSlot],
        what: tuple[str, TemplateSource, SourceCheck],
        masked: bool,
    ) -> None:
        self._gate = gate
        self._turn = turn
        self._what = what
        self._masked = masked

    async def report(self, progress: ProgressCallback | None) -> GateReport:
        """All of it."""
        async with self._turn as turn:
            turn.start()
            return await self._gate.try_source(*self._what, masked=self._masked, progress=progress)

    async def events(self) -> AsyncIterator[str]:
        """How far it is, again and again, and the report; ends with whoever reads."""
        steps: asyncio.Queue[dict[str, int] | None] = asyncio.Queue()
        task = asyncio.create_task(self.report(lambda done, total: steps.put_nowait({"done": done, "total": total})))
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
