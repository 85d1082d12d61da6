"""The request that the current task serves: its id, which log lines carry, and the key that it was authenticated with.

Tasks that outlive the request inherit its context. They stop carrying its id when the request ends.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from notifier.ids import generate_request_id

REQUEST_ID_HEADER = "X-Request-Id"
_WELL_FORMED = re.compile(rb"(?!ntf_)[A-Za-z0-9._-]{1,64}")  # an API key in the wrong field must not be logged


@dataclass(slots=True, kw_only=True)
class ServedRequest:
    """A request while it is served."""

    id: str
    key_id: str | None = None  # None: not authenticated with an API key
    service_id: str | None = None  # None: an admin key, or none
    is_over: bool = False

    def end(self) -> None:
        """End the request: log lines no longer get its id."""
        self.is_over = True


_current: ContextVar[ServedRequest | None] = ContextVar("served_request", default=None)


def begin_request(caller_id: bytes | None) -> ServedRequest:
    """Begin a request in the current context. A well-formed id of its caller is kept, else it gets one of ours."""
    is_kept = caller_id is not None and _WELL_FORMED.fullmatch(caller_id)
    request = ServedRequest(id=caller_id.decode() if caller_id and is_kept else generate_request_id())
    _current.set(request)
    return request


def get_current_request() -> ServedRequest | None:
    """Get the request that the current task serves; None outside of requests."""
    request = _current.get()
    return None if request is None or request.is_over else request


def note_key(key_id: UUID, service_id: UUID | None) -> None:
    """Note the key that the current request was authenticated with; outside of requests this does nothing."""
    if (request := get_current_request()) is not None:
        request.key_id, request.service_id = str(key_id), str(service_id) if service_id is not None else None
