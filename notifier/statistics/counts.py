"""The counts of a range of ids: how many notifications share which values."""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from notifier.states import Status


class CountKey(NamedTuple):
    """The values that the notifications of one count share."""

    quarter: int
    service_id: UUID
    template_id: UUID
    status: Status
    reason: str
    bucket: int


Counts = Mapping[CountKey, int]


def merge_counts(stored: Counts, counted: Counts) -> Counts:
    """Replace the stored counts, but keep those of a service's template of which notifications were deleted since.

    Only a purge makes the sum smaller.
    """
    before, after = _sum_by_template(stored), _sum_by_template(counted)
    purged = {key for key, number in before.items() if after[key] < number}
    kept = {key: number for key, number in stored.items() if key[1:3] in purged}
    return kept | {key: number for key, number in counted.items() if key[1:3] not in purged}


def _sum_by_template(counts: Counts) -> Counter[tuple[UUID, UUID]]:
    sums: Counter[tuple[UUID, UUID]] = Counter()
    for key, number in counts.items():
        sums[key.service_id, key.template_id] += number
    return sums
