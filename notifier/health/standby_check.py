"""Checks whether the standby is read, and how far it is behind."""

from notifier.health.checks import CheckResult
from notifier.lookup.standby_reader import StandbyReader

NAME = "standby"


async def check_standby(standby: StandbyReader) -> list[CheckResult]:
    """Check the standby; no result if the settings name none. If it is not read, that is a warning only."""
    if standby.address is None:
        return []
    place, state = standby.address.place, await standby.get_state()
    if state.fault is None:
        return [CheckResult(name=NAME, ok=True, detail=f"{place} is read, {state.lag or 0.0:.1f} s behind")]
    detail = f"{place} is not read, so the primary is: {state.fault}"
    return [CheckResult(name=NAME, ok=True, warning=True, detail=detail)]
