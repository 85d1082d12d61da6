"""The base class of all errors, and the errors that several packages share.

Errors have no HTTP status; a table in `notifier.api.errors.problem_responses` maps them to problem documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a request: where (JSON pointer, RFC 6901), a stable code, and a sentence for people."""

    pointer: str
    code: str
    detail: str


def escape_pointer(name: str) -> str:
    """A name as one reference token of a JSON pointer (RFC 6901 §3)."""
    return name.replace("~", "~0").replace("/", "~1")


class NotifierError(Exception):
    """Something Notifier refuses or cannot do."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").partition("\n")[0])


class ConfigurationError(NotifierError):
    """A setting is missing, wrong or contradicts another."""


class DatabaseUnavailableError(NotifierError):
    """The database is out of reach or overloaded; the request is not confirmed."""

    retry_after = 1  # seconds

    def __init__(self, reason: str | None = None, *, may_pass: bool = True) -> None:
        super().__init__()
        self.reason = reason  # for the operator only: it names hosts and roles
        self.may_pass = may_pass  # False: it stays until somebody corrects the address or the permissions


class LockTimeoutError(DatabaseUnavailableError):
    """Another transaction holds a lock that this one needs."""


class DataDirectoryLockedError(ConfigurationError):
    """Another process owns the data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(f"another process owns {directory}: stop it first, or choose another directory")


class InvalidRequestError(NotifierError):
    """The request has faults; `faults` has all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in self.faults[:3]))


class IdempotencyKeyReusedError(NotifierError):
    """This Idempotency-Key was used before with a different body; nothing was written."""


class IdempotencyInProgressError(NotifierError):
    """A request with this Idempotency-Key is still being written; try again in a moment."""

    retry_after = 1  # seconds


class NotFoundError(NotifierError):
    """There is no such thing, or it is not yours."""


class NameTakenError(NotifierError):
    """That name is already in use."""


class TemplateError(NotifierError):
    """A template cannot be published as it stands."""

    def __init__(self, slug: str, problems: Sequence[str]) -> None:
        self.slug = slug
        self.problems = tuple(problems)
        super().__init__(f"template {slug}: " + "; ".join(self.problems))
