"""A schedule as somebody wants it, and its faults."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from notifier.errors import Fault
from notifier.job_states import CatchUp, Overlap
from notifier.jobs import timing
from notifier.jobs.job_control import JobActions
from notifier.states import JobKind

SCHEDULE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class ScheduleRequest:
    """A schedule as it is to be."""

    timing: str
    kind: JobKind
    zone: str = "UTC"
    options: Mapping[str, Any] = field(default_factory=dict)
    catch_up: CatchUp = CatchUp.ONE
    overlap: Overlap = Overlap.SKIP
    enabled: bool = True
    revision: int | None = None  # that the caller has loaded (0: there was none); None: whichever there is


async def find_all_faults(
    connection: AsyncConnection, service_id: UUID, name: str, request: ScheduleRequest, actions: JobActions
) -> list[Fault]:
    """Find the faults of a schedule; if there are none, those that depend on its owner and on what is stored."""
    if faults := find_schedule_faults(name, request, actions):
        return faults
    action = actions[request.kind]
    return await action.find_owner_faults(connection, service_id, request.options, pointer="/options")


def find_schedule_faults(name: str, request: ScheduleRequest, actions: JobActions) -> list[Fault]:
    """Find the faults of a schedule."""
    faults = []
    if not SCHEDULE_NAME.fullmatch(name):
        detail = "lower-case letters, digits, - and _, at most 64, and a letter first"
        faults.append(Fault("/name", "invalid_name", detail))
    try:
        timing.parse_timing(request.timing, request.zone)
    except timing.InvalidTimingError as error:
        faults.append(Fault("/timing", "invalid_timing", str(error)))
    except timing.UnknownZoneError as error:
        faults.append(Fault("/zone", "unknown_zone", str(error)))
    if request.kind not in actions or not actions[request.kind].can_be_scheduled:
        kinds = ", ".join(sorted(kind for kind, action in actions.items() if action.can_be_scheduled))
        faults.append(Fault("/action", "unknown_action", f"a schedule can do one of: {kinds}"))
    else:
        faults += actions[request.kind].find_option_faults(request.options, pointer="/options")
    return faults
