"""Fixtures for staff: a scene with a clock that stands still, and one with an OpenID provider."""

from collections.abc import Iterator

import pytest
from support.manual_clock import ManualClock
from support.openid_provider import OpenIdProvider, open_provider
from support.openid_visit import LateClock, build_sign_in
from support.staff_people import StaffScene

from notifier.auth.oidc_sign_in import OidcSignIn
from notifier.runtime import wiring


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def scene(parts: wiring.ProcessParts, clock: ManualClock) -> StaffScene:
    """People in the test's own database, on both engines."""
    return StaffScene(parts.database, clock)


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with open_provider() as opened:
        yield opened


@pytest.fixture
def late_clock() -> LateClock:
    return LateClock()


@pytest.fixture
def people(parts: wiring.ProcessParts, late_clock: LateClock) -> StaffScene:
    """People who sign in at the provider, by a clock that goes as the provider's."""
    return StaffScene(parts.database, late_clock)


@pytest.fixture
def sign_in(people: StaffScene, provider: OpenIdProvider) -> OidcSignIn:
    return build_sign_in(people, provider)
