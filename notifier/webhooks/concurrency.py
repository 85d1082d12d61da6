"""Limits how many attempts one endpoint has at once, so that an endpoint that hangs leaves slots for the others.

An attempt that finds no free slot gets its own later time, so that it is not claimed again and again.
"""

from collections import OrderedDict
from datetime import timedelta
from uuid import UUID

from notifier.clock import Clock

HEALTHY_DIVISOR, FAILING_DIVISOR = 2, 10
"""An endpoint may take all slots divided by this, after a successful attempt and after a failed one."""
MAX_WAIT = timedelta(minutes=10)
MIN_WAIT_SECONDS = 0.5
MAX_REMEMBERED = 10_000


class _EndpointSlots:
    def __init__(self) -> None:
        self.in_use = 0
        self.seconds = 0.1  # duration of the last attempt
        self.is_healthy = True
        self.next_time = 0.0  # monotonic


class EndpointConcurrency:
    """The slots of each endpoint that this process calls."""

    def __init__(self, slots: int, clock: Clock) -> None:
        self._slots = slots
        self._clock = clock
        self._endpoints: OrderedDict[UUID, _EndpointSlots] = OrderedDict()

    def enter(self, endpoint: UUID) -> timedelta | None:
        """Take a slot and return None, or return how long to wait if all are in use. Call `leave` after the attempt."""
        slots = self._endpoints.setdefault(endpoint, _EndpointSlots())
        self._endpoints.move_to_end(endpoint)
        limit = max(1, self._slots // (HEALTHY_DIVISOR if slots.is_healthy else FAILING_DIVISOR))
        if slots.in_use < limit:
            slots.in_use += 1
            return None
        now = self._clock.monotonic()
        slots.next_time = max(slots.next_time, now + MIN_WAIT_SECONDS) + slots.seconds / limit
        return min(timedelta(seconds=slots.next_time - now), MAX_WAIT)

    def leave(self, endpoint: UUID, *, seconds: float, is_healthy: bool) -> None:
        """Give the slot back after an attempt that took `seconds`."""
        slots = self._endpoints[endpoint]
        slots.in_use -= 1
        slots.seconds, slots.is_healthy = seconds, is_healthy
        if len(self._endpoints) > MAX_REMEMBERED:
            idle = next((key for key, state in self._endpoints.items() if not state.in_use), None)
            if idle is not None:
                del self._endpoints[idle]
