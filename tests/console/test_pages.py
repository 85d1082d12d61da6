"""Every page of the list, in its states: nothing keeps people from using it, and it does nothing that it should not."""

import pytest
from support.console_browser import (
    DESKTOP,
    STRANGE_HOST,
    ConsoleBrowser,
    Scheme,
    describe_faults,
    find_barriers,
    find_overflow,
)
from support.console_browser import find_violations as find_policy_violations
from support.console_rig import ConsoleRig
from support.page_states import PageState, list_page_states

from notifier.console.app import OPEN_ROUTES, PAGE_ROUTES
from notifier.console.page_list import PAGES, PARTS

NARROWEST = 320
"""CSS pixels: a window of 1,280 at 400 %."""


STATES = list(list_page_states())


@pytest.mark.parametrize("state", STATES, ids=[state.name for state in STATES])
def test_each_page_is_usable_and_harmless(state: PageState, rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """No barrier for anybody, light or dark; nothing that a policy refuses; no wider than the narrowest window."""
    token = rig.tokens[state.role] if state.role is not None else None
    with browser.open_page(token=token, width=DESKTOP) as opened:
        opened.goto(rig.fill_in(state.path))
        barriers = {"light": find_barriers(opened)}
        opened.emulate_media(color_scheme="dark")
        barriers["dark"] = find_barriers(opened)
        opened.set_viewport_size({"width": NARROWEST, "height": 800})
        barriers["dark and narrow"] = find_barriers(opened)
        assert not any(barriers.values()), describe_faults(barriers)
        wide = find_overflow(opened)
        assert wide == [], describe_faults(wide)
        assert find_policy_violations(opened) == []
    assert browser.take_faults() == []


def test_a_wrong_address_has_a_page_too(rig: ConsoleRig, browser: ConsoleBrowser) -> None:
    """Over HTTP from elsewhere the console says what it needs, in its own look, although it serves no files there."""
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        with browser.open_page(scheme=scheme) as opened:
            opened.goto(rig.url.replace("127.0.0.1", STRANGE_HOST) + "/console/")
            assert opened.get_by_role("heading", level=1).inner_text() == "The console needs HTTPS."
            assert find_barriers(opened) == []
            assert find_policy_violations(opened) == []
            assert opened.evaluate("getComputedStyle(document.body).display") == "flex"
    assert all("Cross-Origin-Opener-Policy header has been ignored" in fault for fault in browser.take_faults())


def test_no_page_is_left_out() -> None:
    """Each route that answers GET is in the list, and the list has no others; one only sends people elsewhere."""
    routes = {route.path for route in (*PAGE_ROUTES, *OPEN_ROUTES) if "GET" in (route.methods or ())}
    assert {page.path for page in PAGES} == routes - PARTS - {"/static/{digest}/{name:path}", "/oidc/start"}
