"""Every status of a notification has a state of its Celery task."""

import pytest
from celery import states

from notifier.api.notifications.models import SCHEDULED
from notifier.client import celery
from notifier.states import Status

EXPECTED: dict[str, set[str]] = {
    "PENDING": {SCHEDULED, Status.QUEUED},
    "RETRY": {Status.DEFERRED},
    "SUCCESS": {Status.SENT, Status.DELIVERED},
    "FAILURE": {Status.FAILED, Status.BOUNCED, Status.EXPIRED, Status.SUPPRESSED, Status.COMPLAINED},
    "REVOKED": {Status.CANCELLED},
    "UNCERTAIN": {Status.UNKNOWN},
}


@pytest.mark.parametrize("status", [SCHEDULED, *Status])
def test_each_status_has_the_state_that_celery_means(status: str) -> None:
    """Each status of the service, as the API shows it, is mapped."""
    assert status in EXPECTED[celery.STATES[status]]


def test_states_are_those_of_celery() -> None:
    """Apart from `UNCERTAIN` each state is one that Celery knows, and no status is mapped that does not exist."""
    assert set(celery.STATES.values()) - {celery.UNCERTAIN} < states.ALL_STATES
    assert set(celery.STATES) == {SCHEDULED, *Status}


def test_the_back_off_grows_and_ends() -> None:
    """The wait is what the server asks for or the back-off, whichever is longer, and never above the maximum.

    A wait below a second would fail the task on a quorum queue, instead of retrying it.
    """
    for _ in range(100):
        assert 1.0 <= celery.compute_countdown(0, None) <= 2.0
        assert 1.0 <= celery.compute_countdown(0, 0.1) <= 2.0
    assert celery.compute_countdown(0, 7.0) == 7.0
    assert celery.compute_countdown(0, 86_400.0) == celery.MAX_COUNTDOWN
    assert celery.MAX_COUNTDOWN / 2 <= celery.compute_countdown(celery.MAX_RETRIES, None) <= celery.MAX_COUNTDOWN
