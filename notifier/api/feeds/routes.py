"""`/v1/feeds`: documents of others that jobs load, their revisions, and a fetch by hand.

A service has its own feeds; an admin key those of the instance.
"""

import asyncio
import re
import zlib
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response

from notifier.api import request_reader
from notifier.api.dependencies import (
    AuditDependency,
    authenticate_manager,
    authenticate_owner,
    get_dependencies,
    open_change_transaction,
)
from notifier.api.feeds import models
from notifier.api.jobs.models import JobDetailOut, build_job_detail
from notifier.api.notifications import submit_routes
from notifier.api.request_reader import document_body, read_model
from notifier.api.service_choice import OwnerName, choose_owner
from notifier.auth.authenticated_key import KeyScope
from notifier.errors import Fault, InvalidRequestError, NotFoundError
from notifier.feeds import feed_rules, feed_store, fetch_action, reading_process, revision_store
from notifier.feeds.document_reader import SchemaTask
from notifier.feeds.feed_rules import FeedRequest

_ACTION = "manages feeds, which live mail may depend on"
router = APIRouter(prefix="/v1/feeds", tags=["feeds"])
Name = Annotated[str, Path(description="The name of the feed.", json_schema_extra={"pattern": models.NAME_PATTERN})]
Number = Annotated[
    str,
    Path(
        description="The number of a revision, from 1.",
        json_schema_extra={"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
    ),
]
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@router.get("", response_model=models.FeedsOut, summary="List feeds")
async def list_feeds(request: Request, service: OwnerName = None) -> dict[str, Any]:
    """List the feeds of your service, or with an admin key those of the instance, by name."""
    key = await authenticate_owner(request, KeyScope.READ)
    owner = await choose_owner(request, key, service)
    async with get_dependencies(request).database.read() as connection:
        feeds = await feed_store.list_feeds(connection, owner)
    now = get_dependencies(request).clock.now()
    return {"feeds": [models.build_feed_reply(feed, now) for feed in feeds]}


@router.get("/{name}", response_model=models.FeedOut, summary="Get a feed")
async def get_feed(request: Request, name: Name, service: OwnerName = None) -> dict[str, Any]:
    """Get a feed: which revision is in use, how old it is, and why the last attempt failed."""
    key = await authenticate_owner(request, KeyScope.READ)
    owner = await choose_owner(request, key, service)
    async with get_dependencies(request).database.read() as connection:
        feed = await feed_store.get_feed(connection, owner, name)
    return models.build_feed_reply(feed, get_dependencies(request).clock.now())


@router.put("/{name}", response_model=models.FeedOut, summary="Save a feed", openapi_extra=document_body(models.FeedIn))
async def save_feed(request: Request, name: Name, audit: AuditDependency, service: OwnerName = None) -> dict[str, Any]:
    """Create the feed, or replace its settings. Its revisions stay, and the newest is in use until the next fetch."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    wanted = (await read_model(request, models.FeedIn)).build_request()
    await _require_valid(request, name, wanted)
    actor, dependencies = audit.get_actor(key), get_dependencies(request)
    async with open_change_transaction(request) as connection:
        feed = await feed_store.save_feed(connection, owner, name, wanted, dependencies.secret_box, actor=actor)
    return models.build_feed_reply(feed, dependencies.clock.now())


@router.delete("/{name}", status_code=204, summary="Delete a feed")
async def delete_feed(request: Request, name: Name, audit: AuditDependency, service: OwnerName = None) -> None:
    """Delete a feed with its revisions. Schedules that fetch it fail from now on."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    actor = audit.get_actor(key)
    async with open_change_transaction(request) as connection:
        await feed_store.delete_feed(connection, owner, name, actor=actor)


@router.post(
    "/{name}/fetch",
    status_code=202,
    response_model=JobDetailOut,
    summary="Submit a fetch of a feed",
    openapi_extra={"parameters": [submit_routes.build_key_parameter()]},
)
async def fetch_feed(
    request: Request, response: Response, name: Name, audit: AuditDependency, service: OwnerName = None
) -> dict[str, Any]:
    """Begin a job that loads the feed now."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    actor, idempotency_key = audit.get_actor(key), request_reader.get_idempotency_key(request)
    async with open_change_transaction(request) as connection:
        run, replayed = await fetch_action.request_fetch(
            connection, owner, name, actor=actor, idempotency_key=idempotency_key
        )
    response.headers["Location"] = f"/v1/jobs/{run.id}"
    if replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return build_job_detail(run)


@router.post("/{name}/confirm", response_model=models.FeedOut, summary="Confirm an empty document of a feed")
async def confirm_feed(
    request: Request, name: Name, audit: AuditDependency, service: OwnerName = None
) -> dict[str, Any]:
    """Take over the document that is suddenly empty, as `unconfirmed` shows it, as the newest revision."""
    key = await authenticate_manager(request, _ACTION)
    owner = await choose_owner(request, key, service)
    actor = audit.get_actor(key)
    async with open_change_transaction(request) as connection:
        feed = await revision_store.confirm_document(connection, owner, name, actor=actor)
    return models.build_feed_reply(feed, get_dependencies(request).clock.now())


@router.get("/{name}/revisions", response_model=models.FeedRevisionsOut, summary="List the revisions of a feed")
async def list_feed_revisions(request: Request, name: Name, service: OwnerName = None) -> dict[str, Any]:
    """List the ten newest revisions, newest first, and how each differs from the one before."""
    key = await authenticate_owner(request, KeyScope.READ)
    owner = await choose_owner(request, key, service)
    async with get_dependencies(request).database.read() as connection:
        feed = await feed_store.get_feed(connection, owner, name)
        revisions = await revision_store.list_revisions(connection, feed)
    return {"revisions": [models.build_revision_reply(revision) for revision in revisions]}


@router.get(
    "/{name}/revisions/{number}", response_model=models.FeedRevisionDetailOut, summary="Get a revision of a feed"
)
async def get_feed_revision(request: Request, name: Name, number: Number, service: OwnerName = None) -> Response:
    """Get a revision with its document."""
    key = await authenticate_owner(request, KeyScope.READ)
    owner = await choose_owner(request, key, service)
    if not _NUMBER.fullmatch(number):
        raise NotFoundError("there is no such revision")
    async with get_dependencies(request).database.read() as connection:
        feed = await feed_store.get_feed(connection, owner, name)
        revision, document = await revision_store.get_revision(connection, feed, int(number))
    known = models.build_revision_reply(revision)
    # A document can be megabytes, so it is not built from values on the event loop.
    body = await asyncio.to_thread(
        lambda: msgspec.json.encode({**known, "document": msgspec.Raw(zlib.decompress(document))})
    )
    return Response(body, media_type="application/json")


async def _require_valid(request: Request, name: str, wanted: FeedRequest) -> None:
    """Check the settings; a schema is compiled in a child process. Raises `InvalidRequestError`."""
    faults = feed_rules.find_feed_faults(name, wanted, get_dependencies(request).insecure_feed_hosts)
    if not faults and wanted.json_schema is not None:
        task = SchemaTask(json_schema=dict(wanted.json_schema))
        rejected = await asyncio.to_thread(reading_process.check_schema_in_child, task)
        faults = [Fault("/json_schema", "invalid_schema", rejected.reason)] if rejected is not None else []
    if faults:
        raise InvalidRequestError(faults)
