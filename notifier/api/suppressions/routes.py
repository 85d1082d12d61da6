"""`/v1/suppressions`: list and add addresses that the service must not mail; lift its own."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from notifier import email_address, suppression
from notifier.api import fields, pagination
from notifier.api.dependencies import AuditDependency, get_dependencies, open_change_transaction
from notifier.api.fields import parse_id
from notifier.api.notifications import submission_models
from notifier.api.request_reader import document_body, read_model, read_optional_model
from notifier.api.service_choice import ServiceName, authenticate_chooser
from notifier.api.suppressions import models
from notifier.audit import Actor
from notifier.auth import service_admin
from notifier.auth.authenticated_key import KeyScope
from notifier.db.tables import INSTANCE
from notifier.errors import Fault, InvalidRequestError
from notifier.submission.request_validation import parse_address
from notifier.suppression import NewSuppression, SuppressionFate, SuppressionView

router = APIRouter(prefix="/v1/suppressions", tags=["suppressions"])


@router.get("", response_model=models.SuppressionPageOut, summary="List suppressions")
async def list_suppressions(
    request: Request, response: Response, query: Annotated[models.SuppressionQuery, Query()]
) -> dict[str, Any]:
    """List what stops this service's mail: its own, and the instance's for addresses that it has mailed or asks for.

    With an admin key: all suppressions, or what stops the mail of the service that it names.
    """
    dependencies = get_dependencies(request)
    _, service_id = await authenticate_chooser(request, KeyScope.SUPPRESSIONS, query.service)
    filters = suppression.SuppressionFilter(
        address=_normalise_searched_address(query.address) if query.address is not None else None,
        scope=query.scope,
        reason=query.reason,
        lasting_after=None if query.include_expired else dependencies.clock.now(),
    )
    async with dependencies.database.read() as connection:
        views = await (
            suppression.list_all_suppressions(connection, filters, before=query.before, limit=query.limit + 1)
            if service_id is None
            else suppression.list_effective_suppressions(
                connection, service_id, filters, before=query.before, limit=query.limit + 1
            )
        )
        names = await service_admin.get_service_names(connection, (view.service_id for view in views))
    page, cursor = pagination.cut_page(request, response, views, query.limit)
    return {"suppressions": [_build_suppression_reply(view, names) for view in page], "next": cursor}


@router.post(
    "",
    status_code=201,
    response_model=models.SuppressionOut,
    summary="Add a suppression",
    openapi_extra=document_body(models.SuppressionIn),
    responses={200: {"model": models.SuppressionOut, "description": "There was one already; it may end later now."}},
)
async def add_suppression(
    request: Request, response: Response, audit: AuditDependency, service: ServiceName = None
) -> dict[str, Any]:
    """Stop mail to an address, for ever or until `expires_at`. An existing one keeps its reason and the later end.

    With an admin key: for the service that it names, else for all services.
    """
    key, service_id = await authenticate_chooser(request, KeyScope.SUPPRESSIONS, service)
    key.require_live("changes whom live mail may reach")
    actor = audit.get_actor(key)
    body = await read_model(request, models.SuppressionIn)
    new_suppression = _parse_new_suppression(body, service_id or INSTANCE, actor)
    async with open_change_transaction(request) as connection:
        fate, view = await suppression.add_suppression(connection, new_suppression, actor=actor)
        names = await service_admin.get_service_names(connection, [view.service_id])
    response.status_code = 201 if fate is SuppressionFate.ADDED else 200
    response.headers["Location"] = f"{router.prefix}/{view.id}"
    return _build_suppression_reply(view, names)


@router.get("/{suppression_id}", response_model=models.SuppressionOut, summary="Get a suppression")
async def get_suppression(request: Request, suppression_id: str, service: ServiceName = None) -> dict[str, Any]:
    """Get a suppression of the service or of the instance."""
    _, service_id = await authenticate_chooser(request, KeyScope.SUPPRESSIONS, service)
    id_ = parse_id(suppression_id, "suppression")
    async with get_dependencies(request).database.read() as connection:
        view = await suppression.get_suppression(connection, service_id, id_)
        names = await service_admin.get_service_names(connection, [view.service_id])
    return _build_suppression_reply(view, names)


@router.delete(
    "/{suppression_id}",
    status_code=204,
    summary="Lift a suppression",
    openapi_extra=document_body(submission_models.ChangeIn, required=False),
)
async def lift_suppression(
    request: Request, suppression_id: str, audit: AuditDependency, service: ServiceName = None
) -> None:
    """Allow mail to the address again, from the next submit on. An admin key may lift any.

    403 if it belongs to the instance: ask the operator.
    """
    key, service_id = await authenticate_chooser(request, KeyScope.SUPPRESSIONS, service)
    key.require_live("changes whom live mail may reach")
    body = await read_optional_model(request, submission_models.ChangeIn)
    id_ = parse_id(suppression_id, "suppression")
    async with open_change_transaction(request) as connection:
        await suppression.lift_suppression(
            connection, service_id, id_, actor=audit.get_actor(key), comment=body.comment
        )


def _build_suppression_reply(view: SuppressionView, names: Mapping[UUID, str]) -> dict[str, Any]:
    """Build the reply for a suppression; `names`: of services."""
    return vars(view) | {
        "service": names.get(view.service_id),
        "service_id": None if view.is_instance_wide else view.service_id,
        "owner": "instance" if view.is_instance_wide else "service",
    }


def _normalise_searched_address(text: str) -> str:
    """Normalise an address as suppressions store it; another text is not changed, and finds nothing."""
    try:
        return email_address.get_address_key(email_address.normalise_address(text))
    except email_address.InvalidAddressError:
        return text


def _parse_new_suppression(body: models.SuppressionIn, owner: UUID, actor: Actor) -> NewSuppression:
    normalised = parse_address(body.address, "/address")
    faults = [normalised] if isinstance(normalised, Fault) else []
    if body.reason not in models.CALLER_REASONS:
        faults.append(Fault("/reason", "not_yours_to_say", "only a relay can say that there is no such mailbox"))
    faults += fields.check_expiry(body.expires_at, actor.at)
    if faults or isinstance(normalised, Fault):
        raise InvalidRequestError(faults)
    return NewSuppression(
        address=normalised,
        service_id=owner,
        scope=body.scope,
        reason=body.reason,
        detail=body.detail,
        created_by=actor.name,
        expires_at=body.expires_at,
    )
