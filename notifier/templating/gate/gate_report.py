"""The report of the publish gate: whom a draft would break, which mails it changes, and how.

It has no value of a request but within diffs, and there no secret one unless somebody asked for those.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from notifier.templating.variable_diff import AlteredVariable, Variable


@dataclass(frozen=True, kw_only=True)
class RequestRefusal:
    """A reason for which requests like those of a service would be answered 422."""

    pointer: str  # JSON pointer; `*` stands for any place in a list
    code: str
    detail: str
    requests: int  # how many of those that were looked at
    keys: tuple[str, ...]  # ids of the keys that made them


@dataclass(frozen=True, kw_only=True)
class RenderFailure:
    """A place in the draft where rendering fails."""

    part: str
    line: int | None
    message: str
    requests: int
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ServiceOutcome:
    """What becomes of one service's requests with the draft."""

    service_id: UUID
    service: str
    looked: int  # requests that were looked at
    refused: int  # would be answered 422, and are not today
    failing: int  # could not be made into a mail, and can today
    broken_already: int  # are refused or fail today as well, and still would
    changed: int  # mails that differ
    untried: int  # not rendered: another one overran, or this machine had no time
    refusals: tuple[RequestRefusal, ...]  # most frequent first, also of those that are refused today
    failures: tuple[RenderFailure, ...]  # the same

    @property
    def blocks(self) -> bool:
        """Whether something that works today would not work any more."""
        return self.refused + self.failing + self.untried > 0


@dataclass(frozen=True, kw_only=True)
class MailExample:
    """A mail that changes, for one kind of change."""

    service: str
    locale: str | None
    changed: tuple[str, ...]  # subject, html, text
    alike: int  # how many mails change like this
    diffs: dict[str, str]  # part → unified diff
    note: str = ""  # why there is none


@dataclass(frozen=True, kw_only=True)
class KeyUse:
    """A key that has used the template lately."""

    key_id: UUID
    key: str  # its name
    service: str
    last_used_at: datetime  # to within a minute


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """What publishing a draft would do to those who use the template."""

    slug: str
    content_hash: str  # of what was tried
    number: int | None  # of the version that it was compared with; None: nothing is published
    blocks: bool  # something that works today would not
    reasons: tuple[str, ...]  # why, a sentence for each service
    looked: int
    changed: int
    services: tuple[ServiceOutcome, ...]
    examples: tuple[MailExample, ...]
    added: tuple[Variable, ...]
    removed: tuple[Variable, ...]
    altered: tuple[AlteredVariable, ...]
    keys: tuple[KeyUse, ...]  # within the last thirty days, the latest first
    masked: bool  # what is secret is hidden in the diffs

    def as_json(self) -> dict[str, Any]:
        """Return the report in types of JSON."""
        report: dict[str, Any] = msgspec.to_builtins(self)
        return report


def format_reasons(services: tuple[ServiceOutcome, ...]) -> tuple[str, ...]:
    """Say why the draft must not be published as it is."""
    return tuple(f"{service.service}: {_format_reason(service)}" for service in services if service.blocks)


def _format_reason(service: ServiceOutcome) -> str:
    counts = (
        (service.refused, "would be refused (422)"),
        (service.failing, "could not be made into a mail"),
        (service.untried, "could not be tried"),
    )
    return ", ".join(f"{count} {words}" for count, words in counts if count) + f", of {service.looked} requests."
