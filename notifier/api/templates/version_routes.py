"""`/v1/templates/{slug}/versions`, the schema of the variables, and differences between versions."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from notifier.api import pagination
from notifier.api.dependencies import Dependencies, authenticate_key
from notifier.api.errors import conflict_details
from notifier.api.templates.models import DiffOut, VersionPageOut, WholeVersionOut
from notifier.api.templates.request_models import Number, Slug
from notifier.api.templates.routes import VersionQuery
from notifier.auth.key_scope import KeyScope
from notifier.errors import NotFoundError
from notifier.templating import template_queries, version_diff

router = APIRouter(prefix="/v1/templates", tags=["templates"])
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
MAX_VERSION_NUMBER = 2**31 - 1
_EITHER = "^(draft|[1-9][0-9]{0,8})$"
_State = Annotated[str, Query(max_length=9, pattern=_EITHER, description="`draft`, or the number of a version.")]
_Which = Annotated[int | None, Query(ge=1, le=MAX_VERSION_NUMBER, description="Default: the current one.")]


@router.get(
    "/{slug}/versions",
    response_model=VersionPageOut,
    operation_id="list_template_versions",
    summary="List the versions of a template",
)
async def list_template_versions(
    request: Request,
    response: Response,
    slug: Slug,
    dependencies: Dependencies,
    query: Annotated[VersionQuery, Query()],
) -> dict[str, Any]:
    """The published versions, newest first."""
    await authenticate_key(request, dependencies, KeyScope.TEMPLATES_READ)
    async with dependencies.database.read() as connection:
        template = await template_queries.get_template(connection, slug)
        views = await template_queries.list_versions(
            connection, template.id, before=query.before, limit=query.limit + 1
        )
    page, cursor = pagination.cut_page(request, response, views, query.limit)
    return {"versions": [vars(view) for view in page], "next": cursor}


@router.get(
    "/{slug}/versions/{number}",
    response_model=WholeVersionOut,
    operation_id="get_template_version",
    summary="Get a version of a template",
)
async def get_template_version(
    request: Request, slug: Slug, number: Number, dependencies: Dependencies
) -> dict[str, Any]:
    """A version with its text, layouts and settings; it never changes."""
    await authenticate_key(request, dependencies, KeyScope.TEMPLATES_READ)
    async with dependencies.database.read() as connection:
        view = await template_queries.get_version(connection, slug, parse_version_number(number))
    return vars(view) | conflict_details.build_source_reply(view.source)


@router.get("/{slug}/schema", operation_id="get_template_schema", summary="Get the variables schema of a template")
async def get_template_schema(
    request: Request, slug: Slug, dependencies: Dependencies, version: _Which = None
) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that `variables` of a notification must satisfy."""
    await authenticate_key(request, dependencies, KeyScope.TEMPLATES_READ)
    async with dependencies.database.read() as connection:
        number = version if version is not None else (await template_queries.get_template(connection, slug)).number
        return (await template_queries.get_version(connection, slug, number)).variables_schema


@router.get(
    "/{slug}/diff", response_model=DiffOut, operation_id="diff_template", summary="Compare two versions of a template"
)
async def diff_template(
    request: Request,
    slug: Slug,
    dependencies: Dependencies,
    from_: Annotated[
        str | None,
        Query(alias="from", max_length=9, pattern=_EITHER, description="The same. Default: the current version."),
    ] = None,
    to: _State = "draft",
) -> dict[str, Any]:
    """What differs between two versions, or a version and the draft as it would be published."""
    caller = await authenticate_key(request, dependencies, KeyScope.TEMPLATES_READ)
    editor = dependencies.editors.get_renderer(caller.actor_name)
    difference = await version_diff.compare_states(dependencies.database, editor, slug, from_, to)
    variables = {"added": difference.added, "removed": difference.removed}
    files = [vars(file) for file in difference.files]
    return {"from": difference.from_, "to": to, "files": files, "variables": variables}


def parse_version_number(text: str) -> int:
    """Parse the number in a path. Raises `NotFoundError`."""
    if not _NUMBER.fullmatch(text) or int(text) > MAX_VERSION_NUMBER:
        raise NotFoundError("there is no such version")
    return int(text)
