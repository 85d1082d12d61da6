"""The idempotency keys of test and team keys are their own, or a test mail could stand for a live one.

A live key's are stored as they are given. Those of the others become texts that no caller can give: they begin with a
space.
"""

import hashlib
from dataclasses import replace

from notifier.auth.authenticated_key import Caller
from notifier.states import KeyKind
from notifier.submission.notification_writer import Idempotency


def scope_key(caller: Caller, key: str) -> str:
    """An idempotency key as it is stored for keys of the caller's kind."""
    if caller.kind is KeyKind.LIVE:
        return key
    return f" {caller.kind.value} {hashlib.sha256(key.encode()).hexdigest()}"


def scope_idempotency(caller: Caller, idempotency: Idempotency | None) -> Idempotency | None:
    """The same with its request."""
    return replace(idempotency, key=scope_key(caller, idempotency.key)) if idempotency else None
