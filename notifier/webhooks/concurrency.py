"""How many tries one endpoint may have at the same time, so that one that hangs leaves room for the others.

Who finds no room is given a time of its own in a row, instead of being claimed again and again.
"""

from collections import OrderedDict
from datetime import timedelta
from uuid import UUID

from notifier.clock import Clock

HEALTHY_DIVISOR, FAILING_DIVISOR = 2, 10
"""The part of the slots, as a divisor, that an endpoint may take when its last try went well, and when it did not."""
MAX_WAIT = timedelta(minutes=10)
MIN_WAIT_SECONDS = 0.5
MAX_REMEMBERED = 10_000


class _EndpointSlots:
    def __init__(self) -> None:
        self.inside = 0
        self.seconds = 0.1  # of its last try
        self.is_well = True
        self.next_turn = 0.0  # monotonic


class EndpointConcurrency:
    """The endpoints that this process calls."""

    def __init__(self, slots: int, clock: Clock) -> None:
        self._slots = slots
        self._clock = clock
        self._lanes: OrderedDict[UUID, _EndpointSlots] = OrderedDict()

    def enter(self, endpoint: UUID) -> timedelta | None:
        """None: go ahead, and `leave` afterwards. Else how long to wait before asking again."""
        lane = self._lanes.setdefault(endpoint, _EndpointSlots())
        self._lanes.move_to_end(endpoint)
        room = max(1, self._slots // (HEALTHY_DIVISOR if lane.is_well else FAILING_DIVISOR))
        if lane.inside < room:
            lane.inside += 1
            return None
        now = self._clock.monotonic()
        lane.next_turn = max(lane.next_turn, now + MIN_WAIT_SECONDS) + lane.seconds / room
        return min(timedelta(seconds=lane.next_turn - now), MAX_WAIT)

    def leave(self, endpoint: UUID, *, seconds: float, is_well: bool) -> None:
        """A try is over."""
        lane = self._lanes[endpoint]
        lane.inside -= 1
        lane.seconds, lane.is_well = seconds, is_well
        if len(self._lanes) > MAX_REMEMBERED:
            idle = next((key for key, one in self._lanes.items() if not one.inside), None)
            if idle is not None:
                del self._lanes[idle]
