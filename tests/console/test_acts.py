"""Every form of the console is an operation of the API: the same name, the same scope, the same function below."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from starlette.routing import Route
from support.console_client import SAME_ORIGIN, open_console
from support.seeded_installation import Installation
from support.staff_people import StaffScene

from notifier.audit import AuditFilter, list_audit_records
from notifier.auth.authenticated_key import KeyScope
from notifier.auth.staff_roles import StaffRole, get_role_scopes
from notifier.console.act import find_twin
from notifier.console.app import PAGE_ROUTES
from notifier.console.page_list import PAGES
from notifier.runtime.wiring import ProcessParts

ROOT = Path(__file__).parents[2]
ROLES = ((), *((role,) for role in StaffRole), (StaffRole.SUPPORT, StaffRole.EDITOR))
ACTS = [route for route in PAGE_ROUTES if "POST" in (route.methods or ())]


@cache
def _find_operation_scopes() -> dict[str, set[str]]:
    """Find which scopes each handler of the API names, by the name of the operation."""
    scopes: dict[str, set[str]] = {}
    for path in (ROOT / "notifier" / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef):
                named = re.findall(r"KeyScope\.([A-Z_]+)", ast.unparse(node))
                scopes.setdefault(node.name, set()).update(KeyScope[name].value for name in named)
    return scopes


def _list_operations() -> Iterator[str]:
    for methods in json.loads((ROOT / "openapi.json").read_text())["paths"].values():
        yield from (operation["operationId"] for operation in methods.values() if "operationId" in operation)


@pytest.mark.parametrize("route", ACTS, ids=lambda route: route.path)
def test_each_form_names_its_twin(route: Route) -> None:
    """A form is about one's own account, or names an operation that exists and needs the same scope."""
    twin = find_twin(route.endpoint)
    assert twin is not None, "declare the handler with @act or @account_act"
    if twin.operation_id is None:
        assert re.match(r"/(me/|sign-out$)", route.path)
        return
    assert twin.scope is not None
    assert twin.operation_id in set(_list_operations())
    assert twin.scope.value in _find_operation_scopes()[twin.operation_id]


@pytest.mark.parametrize("roles", ROLES, ids=lambda roles: "+".join(roles) or "no role")
async def test_each_role_may_do_what_its_scopes_say(
    roles: tuple[StaffRole, ...],
    sqlite_installation: Installation,
) -> None:
    """Every page and form is answered by 403 exactly for people without its scope, and the page says who may."""
    scopes = get_role_scopes(roles)
    needs = {("GET", page.path): page.scope for page in PAGES if not page.is_open}
    for route in ACTS:
        twin = find_twin(route.endpoint)
        if twin is not None and route.path != "/sign-out":
            needs["POST", route.path] = twin.scope
    async with sqlite_installation.open_parts() as parts:
        _, signed_in = await StaffScene(parts.database, parts.clock).create_signed_in("Ana", *roles)
        async with open_console(parts, signed_in.token) as client:
            for (method, path), scope in needs.items():
                url = "/console" + re.sub(r"\{[^}]*\}", "00000000-0000-7000-8000-000000000000", path)
                reply = await client.request(method, url, headers=SAME_ORIGIN)
                may = scope is None or scope.value in scopes
                assert (reply.status_code == 403) != may, (method, path, reply.status_code)
                assert may or "It needs the role" in reply.text, path


async def test_what_one_does_is_written_down(installation: Installation, parts: ProcessParts) -> None:
    """An act on one's own account has its audit record, by the person who did it."""
    person, signed_in = await StaffScene(parts.database, parts.clock).create_signed_in("Ana")
    async with open_console(parts, signed_in.token) as client:
        form = {"time_zone": "Europe/Lisbon", "uses_plain_editor": "true"}
        assert (await client.post("/console/me/preferences", data=form, headers=SAME_ORIGIN)).status_code == 303
        refused = await client.post("/console/me/preferences", data={"time_zone": "Mars/Base"}, headers=SAME_ORIGIN)
        assert (refused.status_code, "no such time zone" in refused.text) == (422, True)
        assert (await client.post("/console/sign-out", headers=SAME_ORIGIN)).status_code == 303
    async with parts.database.read() as connection:
        own = AuditFilter(actor=f"staff:{person.id}")
        records = await list_audit_records(connection, None, own, before=None, limit=9)
    assert [record.action for record in records[:2]] == ["staff.signed_out", "staff.changed"]
