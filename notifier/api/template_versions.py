"""`/v1/templates/{slug}/versions` and what is seen of them: text, schema of the variables, and what differs."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from notifier.api import conflict, paging
from notifier.api.doors import TheDoors
from notifier.api.request import holder
from notifier.api.template_reply import DiffOut, VersionPageOut, WholeVersionOut
from notifier.api.template_schema import Number, Slug
from notifier.api.templates import WantedVersions
from notifier.auth.scope import Scope
from notifier.errors import NotFoundError
from notifier.templating import find, version_diff

router = APIRouter(prefix="/v1/templates", tags=["templates"])
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
LARGEST_NUMBER = 2**31 - 1
_EITHER = "^(draft|[1-9][0-9]{0,8})$"
_State = Annotated[str, Query(max_length=9, pattern=_EITHER, description="`draft`, or the number of a version.")]
_Which = Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER, description="Default: the current one.")]


@router.get(
    "/{slug}/versions",
    response_model=VersionPageOut,
    operation_id="list_template_versions",
    summary="List the versions of a template",
)
async def get_page(
    request: Request, response: Response, slug: Slug, doors: TheDoors, wanted: Annotated[WantedVersions, Query()]
) -> dict[str, Any]:
    """What was published, newest first."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        template = await find.template(connection, slug)
        found = await find.versions(connection, template.id, before=wanted.before, limit=wanted.limit + 1)
    page, cursor = paging.cut(request, response, found, wanted.limit)
    return {"versions": [vars(view) for view in page], "next": cursor}


@router.get(
    "/{slug}/versions/{number}",
    response_model=WholeVersionOut,
    operation_id="get_template_version",
    summary="Get a version of a template",
)
async def get_one(request: Request, slug: Slug, number: Number, doors: TheDoors) -> dict[str, Any]:
    """One of them, with all that was pinned; it never changes."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        view = await find.version(connection, slug, numbered(number))
    return vars(view) | conflict.source_of(view.source)


@router.get("/{slug}/schema", operation_id="get_template_schema", summary="Get the variables schema of a template")
async def get_schema(request: Request, slug: Slug, doors: TheDoors, version: _Which = None) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that `variables` of a notification must satisfy."""
    await holder(request, doors, Scope.TEMPLATES_READ)
    async with doors.database.read() as connection:
        number = version if version is not None else (await find.template(connection, slug)).number
        return (await find.version(connection, slug, number)).variables_schema


@router.get(
    "/{slug}/diff", response_model=DiffOut, operation_id="diff_template", summary="Compare two versions of a template"
)
async def get_diff(
    request: Request,
    slug: Slug,
    doors: TheDoors,
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=9, pattern=_EITHER, description="The same. Default: the current version."),
    ] = None,
    to: _State = "draft",
) -> dict[str, Any]:
    """What differs between two versions, or a version and the draft as it would be published."""
    caller = await holder(request, doors, Scope.TEMPLATES_READ)
    editor = doors.editors.of(caller.actor)
    difference = await version_diff.compare_states(doors.database, editor, slug, from_, to)
    variables = {"added": difference.added, "removed": difference.removed}
    files = [vars(file) for file in difference.files]
    return {"from": difference.from_, "to": to, "files": files, "variables": variables}


def numbered(text: str) -> int:
    """The number in a path; anything else names nothing."""
    if not _NUMBER.fullmatch(text) or int(text) > LARGEST_NUMBER:
        raise NotFoundError("there is no such version")
    return int(text)
