"""The job `report`: it mails the figures of the day before, in the time zone of its schedule.

First it counts the days of the report again, so that late changes are in the figures. Then it submits one mail.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import Fault
from notifier.jobs.job_action import JobRunView, StepContext, StepResult
from notifier.reports.mail_action import MAIL_OPTIONS, MailAction, find_mail_faults, read_mail_options
from notifier.reports.option_reader import OptionReader
from notifier.reports.report_variables import DAYS_BACK, ReportFigures, build_report_variables
from notifier.reports.scheduled_mail import move_faults, write_scheduled_mail
from notifier.states import JobKind, Reason
from notifier.statistics import roll_up, statistics_query, waiting_mail
from notifier.statistics.periods import build_day
from notifier.statistics.roll_up import CountedRange, Period
from notifier.statistics.statistics_query import PeriodFigures, StatisticsFilter
from notifier.statistics.waiting_mail import WaitingMail
from notifier.submission.new_notification import NewNotification, NotificationRequest

DEFAULT_TEMPLATE = "daily_report"
INSTANCE_NAME = "Notifier"
"""Whose report it is if it has the figures of all services."""


class ReportAction(MailAction):
    """Mails the report of one day: of the service that owns the schedule, or of all services."""

    kind = JobKind.REPORT

    def read_request(self, options: Mapping[str, Any], pointer: str) -> tuple[NotificationRequest, list[Fault]]:
        """Read the request of the mail from the options, and the faults that need no database."""
        reader = OptionReader(options, MAIL_OPTIONS, pointer=pointer)
        request = read_mail_options(reader, needs_template=False)
        request = replace(request, template=request.template or DEFAULT_TEMPLATE)
        return request, [*reader.faults, *find_mail_faults(request, pointer)]

    async def find_owner_faults(
        self, connection: AsyncConnection, service_id: UUID, options: Mapping[str, Any], *, pointer: str
    ) -> list[Fault]:
        """Find what a submit of the owner would be refused for; the template must take the variables of a report."""
        caller, faults = await self._mailer.find_owner_faults(connection, service_id, options, pointer=pointer)
        if caller is None:
            return faults
        request, _ = self.read_request(options, pointer)
        faults = await self._mailer.find_faults(caller, _fill_request(request, _build_empty_report()))
        return [_explain_template(fault, pointer) for fault in faults]

    async def prepare(self, run: JobRunView, context: StepContext) -> list[CountedRange] | NewNotification:
        """Count some ranges of the days again; once all were counted, build the mail."""
        days = _list_days(run)
        whole = Period(start=days[0].start, stop=days[-1].stop)
        if counted := await roll_up.count_period(self._database, whole, run.created_at):
            return counted
        request = self.read_run_request(run)
        caller = await self._mailer.load_caller(run)
        service_id = run.service_id if run.service_id.int else None
        async with self._database.read() as connection:
            figures = await statistics_query.load_figures(connection, days, StatisticsFilter(service_id=service_id))
        async with self._database.read() as connection:
            waiting = await waiting_mail.count_waiting_mail(connection, service_id, context.now)
        report = ReportFigures(
            product=INSTANCE_NAME if service_id is None else caller.service_name,
            zone=_get_zone(run).key,
            day=days[-1].start.astimezone(_get_zone(run)).date(),
            days=figures,
            waiting=waiting,
        )
        return await self._mailer.prepare_mail(run, caller, _fill_request(request, report))

    async def apply(
        self,
        connection: AsyncConnection,
        run: JobRunView,  # noqa: ARG002
        prepared: Any,
        context: StepContext,
    ) -> StepResult:
        """Write the counts, or submit the mail: with the end of the run in one transaction."""
        if isinstance(prepared, NewNotification):
            return await write_scheduled_mail(connection, prepared)
        await roll_up.write_counted_ranges(connection, prepared, context.now)
        return StepResult(counts={"ranges": len(prepared)})


def _get_zone(run: JobRunView) -> ZoneInfo:
    return ZoneInfo(run.options["zone"])


def _list_days(run: JobRunView) -> list[Period]:
    """List the day before the planned time, and the seven before it, in order."""
    zone = _get_zone(run)
    today = (run.planned_at or run.created_at).astimezone(zone).date()
    return [build_day(today - timedelta(days=back), zone) for back in range(DAYS_BACK + 1, 0, -1)]


def _fill_request(request: NotificationRequest, report: ReportFigures) -> NotificationRequest:
    return replace(request, variables=build_report_variables(report))


def _build_empty_report() -> ReportFigures:
    """Build a report without mail, to check a template. It has a reason, which is shown only when mail has failed."""
    zone = ZoneInfo("UTC")
    days = [PeriodFigures(period=build_day(date(2026, 1, day), zone)) for day in range(1, DAYS_BACK + 2)]
    days[-1].reasons[Reason.EXPIRED] = 1
    waiting = WaitingMail(due=0, later=0, held=0, is_cut=False)
    return ReportFigures(
        product=INSTANCE_NAME, zone=zone.key, day=date(2026, 1, DAYS_BACK + 1), days=days, waiting=waiting
    )


def _explain_template(fault: Fault, pointer: str) -> Fault:
    """Point to an option: the variables are those of the report, and the template must take them."""
    if not fault.pointer.startswith("/variables"):
        return move_faults([fault], pointer)[0]
    detail = f"this template cannot show a report, see the variables of `{DEFAULT_TEMPLATE}`: {fault.pointer}"
    return Fault(f"{pointer}/template", fault.code, f"{detail}: {fault.detail}")
