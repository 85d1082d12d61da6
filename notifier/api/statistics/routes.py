"""`GET /v1/stats`: the figures of a service, or with an admin key of all services."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.api.dependencies import authenticate_owner, get_dependencies
from notifier.api.service_choice import choose_service
from notifier.api.statistics import models
from notifier.auth.authenticated_key import KeyScope
from notifier.errors import Fault, InvalidRequestError
from notifier.statistics import periods, statistics_query
from notifier.statistics.periods import InvalidPeriodError
from notifier.statistics.roll_up import Period
from notifier.statistics.statistics_query import PeriodFigures, StatisticsFilter

router = APIRouter(prefix="/v1/stats", tags=["statistics"])


@router.get("", response_model=models.StatisticsOut, summary="Get statistics of notifications")
async def get_statistics(request: Request, query: Annotated[models.FiguresQuery, Query()]) -> dict[str, Any]:
    """Count notifications by the hour or day in which they were submitted. Mail of test keys is not counted.

    A change of status is counted after a minute or two; of older mail, after a quarter of its age, at most a day.
    """
    key = await authenticate_owner(request, KeyScope.READ)
    service_id = await choose_service(request, key, query.service)
    dependencies = get_dependencies(request)
    start, stop = periods.choose_bounds(query.from_, query.to, query.by, dependencies.clock.now())
    try:
        listed = periods.list_periods(start, stop, query.by, periods.parse_zone(query.zone))
    except InvalidPeriodError as error:
        raise _build_refusal(error.name, str(error)) from error

    async def load(connection: AsyncConnection) -> tuple[list[PeriodFigures], datetime | None]:
        filters = StatisticsFilter(service_id=service_id, template=query.template)
        figures = await statistics_query.load_figures(connection, listed, filters)
        whole = Period(start=listed[0].start, stop=listed[-1].stop)
        return figures, await statistics_query.find_counted_at(connection, whole)

    try:
        figures, counted_at = await dependencies.standby.read(load, dependencies.database.read)
    except InvalidPeriodError as error:
        raise _build_refusal(error.name, str(error)) from error
    return {
        "by": query.by,
        "zone": query.zone,
        "counted_at": counted_at,
        "whole": models.build_figures(statistics_query.sum_figures(figures)),
        "periods": [models.build_figures(each) for each in figures],
    }


def _build_refusal(name: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError([Fault(f"/query/{name}", "invalid_parameter", detail)])
