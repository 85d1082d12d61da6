"""The request and reply models of schedules."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from notifier.api import fields, request_model
from notifier.api.request_model import RequestModel
from notifier.job_states import CatchUp, Overlap, SkipReason
from notifier.jobs.schedule_file import ScheduleChange
from notifier.jobs.schedule_request import SCHEDULE_NAME, ScheduleRequest
from notifier.jobs.schedule_store import MAX_SCHEDULES, ScheduleView
from notifier.jobs.timing import MAX_COUNTED_TIMES, MAX_TIMING_LENGTH
from notifier.states import JobKind

NAME_PATTERN = f"^{SCHEDULE_NAME.pattern}$"
MAX_OPTIONS = 20
MAX_NAME_LENGTH = 64
MAX_NEXT = 100
_Revision = Annotated[int, Field(ge=0, le=2**31 - 2), BeforeValidator(fields.convert_whole_number)]
_EXAMPLE: JsonValue = {
    "timing": "0 9 * * 1-5",
    "zone": "Europe/Berlin",
    "action": "report",
    "options": {"to": "ops@example.com"},
}
_TIMING = "Five cron fields, such as `0 9 * * 1-5`, or `every 15m`, `every 2h`, `every 1d`."
_CATCH_UP = "Which of the times that nobody ran at get a run: the last `one`, `all` or `none`."
_OVERLAP = "At a time at which the last run has not ended: `skip` it, or `queue` a run behind it."


class ScheduleIn(RequestModel):
    """A schedule as it is to be."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    timing: Annotated[str, Field(max_length=MAX_TIMING_LENGTH)] = Field(description=_TIMING)
    zone: str = Field("UTC", max_length=64, description="The IANA time zone of a cron timing, such as Europe/Berlin.")
    action: JobKind = Field(strict=False, description="What it does.")
    options: dict[str, Any] = Field(
        default_factory=dict, max_length=MAX_OPTIONS, description="The settings of the action."
    )
    catch_up: CatchUp = Field(CatchUp.ONE, strict=False, description=_CATCH_UP)
    overlap: Overlap = Field(Overlap.SKIP, strict=False, description=_OVERLAP)
    enabled: bool = Field(default=True, description="False: it begins no runs, except by hand.")
    revision: _Revision | None = Field(
        None, description="The revision that you have loaded; 0 for a new name. Left out: whichever there is."
    )

    def build_request(self) -> ScheduleRequest:
        """Build the request for the operation."""
        return ScheduleRequest(
            timing=self.timing,
            zone=self.zone,
            kind=self.action,
            options=self.options,
            catch_up=self.catch_up,
            overlap=self.overlap,
            enabled=self.enabled,
            revision=self.revision,
        )


class SchedulesIn(RequestModel):
    """Several schedules by name, each as it is to be."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"schedules": {"daily": _EXAMPLE}}]})
    limits = request_model.VARIABLES_LIMITS

    schedules: Annotated[
        dict[str, ScheduleIn],
        Field(min_length=1, max_length=MAX_SCHEDULES),
        fields.document_field(propertyNames={"pattern": NAME_PATTERN, "maxLength": MAX_NAME_LENGTH}),
    ] = Field(description="By name. The `revision` of a schedule is not looked at.")


class ScheduleSwitchIn(RequestModel):
    """Whether a schedule begins runs."""

    enabled: bool = Field(description="False: it begins no runs, except by hand.")


class SavedScheduleOut(BaseModel):
    """What was done with a schedule."""

    name: str
    change: ScheduleChange


class SavedSchedulesOut(BaseModel):
    """What was done with each schedule, by name."""

    schedules: list[SavedScheduleOut]


class ScheduleOut(BaseModel):
    """A schedule."""

    id: UUID
    name: str
    timing: str = Field(description=_TIMING)
    zone: str
    action: JobKind
    options: dict[str, Any]
    catch_up: CatchUp = Field(description=_CATCH_UP)
    overlap: Overlap = Field(description=_OVERLAP)
    enabled: bool
    built_in: bool = Field(description="It can be changed, but not deleted.")
    next_at: datetime | None = Field(description="When it begins its next run; null: it does not.")
    last_skipped_at: datetime | None = Field(description="The last of its times that got no run; null: there is none.")
    skipped_reason: SkipReason | None = Field(description="The rule that left out this time.")
    skipped_count: int = Field(
        description=f"How many of its times got no run. A long pause counts as at most {MAX_COUNTED_TIMES}."
    )
    revision: int
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime


class SchedulesOut(BaseModel):
    """The schedules of the owner, by name."""

    schedules: list[ScheduleOut]


class NextTimesOut(BaseModel):
    """The next times of a schedule."""

    times: list[datetime] = Field(description="In UTC, in order; also of a schedule that is switched off.")


def build_schedule_reply(schedule: ScheduleView) -> dict[str, Any]:
    """Build the reply for a schedule."""
    return {name: getattr(schedule, name) for name in ScheduleOut.model_fields if name != "action"} | {
        "action": schedule.kind
    }
