"""openapi.json is up to date, complete and valid; the documentation pages need no other server."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from support.seeded_installation import Installation

import notifier
from notifier.api.app import build_bare_app
from notifier.api.errors import faults, problem_responses
from notifier.api.errors.problem_catalogue import PROBLEM_ENTRIES
from notifier.api.openapi import description
from notifier.submission import attachment_validation

ROOT = Path(__file__).parents[3]
_CODE_AT = {"problem": 1, "BadRequestError": 0, "Fault": 1}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The response of `/openapi.json`."""
    return build_bare_app().openapi()


def _references(value: Any) -> Iterator[str]:
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if name == "$ref":
            yield inner
        elif isinstance(inner, dict | list):
            yield from _references(inner)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def test_the_committed_document_is_the_code_s(document: dict[str, Any]) -> None:
    """The committed openapi.json equals the generated one."""
    renew = "renew it: python -m notifier openapi > openapi.json"
    assert (ROOT / "openapi.json").read_text() == description.format_document(document), renew


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """Every `$ref` of the document can be resolved, also in bodies that routes parse themselves."""
    references = set(_references(document))
    assert "#/components/schemas/AttachmentIn" in references
    for reference in references:
        place = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_schema_has_an_example_that_it_allows(document: dict[str, Any]) -> None:
    """Every object has an example, and all examples are valid."""
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("type") != "object" or schema.get("examples"), name
        for example in schema.get("examples", []):
            jsonschema_rs.validate(schema | {"components": document["components"]}, example)


def test_every_route_declares_its_key_and_its_refusals(document: dict[str, Any]) -> None:
    """Each /v1 route declares its key and its problems, and none has FastAPI's own error shape."""
    seen = set()
    for path, operation in _operations(document):
        if path.startswith("/v1"):
            seen.add(operation["operationId"])
            assert operation["security"] == [{"key": []}], path
            declared = set(operation["responses"])
            assert {"401", "429", "500", "503"} <= declared, path
            assert "default" not in declared, path
            assert ("404" in declared) == ("{" in path), path
            assert ("415" in declared) == ("requestBody" in operation), path
            assert ("403" in declared) == (operation["operationId"] != "whoami"), path
    assert "submit_batch" in seen
    assert "HTTPValidationError" not in description.format_document(document)
    tags = {tag for _, operation in _operations(document) for tag in operation["tags"]}
    assert tags <= {tag["name"] for tag in document["tags"]}


def test_conflicts_are_named_where_they_happen(document: dict[str, Any]) -> None:
    """Each 409 lists the codes of its operation, and the catalogue's operations exist."""
    ids = {operation["operationId"]: operation for _, operation in _operations(document)}
    for code, entry in PROBLEM_ENTRIES.items():
        for operation_id in entry.operation_ids.split():
            assert f"`{code}`" in ids[operation_id]["responses"]["409"]["description"]


def _codes() -> Iterator[str]:
    """Every error code that the package uses."""
    for path in sorted((ROOT / "notifier").rglob("*.py")):
        if "client" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in _CODE_AT and isinstance(node, ast.Call) and len(node.args) > _CODE_AT[name]:
                code = node.args[_CODE_AT[name]]
                if isinstance(code, ast.Constant):
                    yield str(code.value)


def test_every_code_is_explained() -> None:
    """Each error code of the package is in the catalogue, with the same status and title."""
    codes = {
        *_codes(),
        *faults._FAULT_CODES.values(),
        *problem_responses._HTTP_CODES.values(),
        attachment_validation.ATTACHMENT_REJECTED,
    }
    codes |= set(problem_responses._CODE_OF_ERROR.values())
    codes |= {"http_error", "invalid_request"}
    assert len(codes) > 40
    assert codes - set(PROBLEM_ENTRIES) == set()


async def test_a_code_has_a_page(client: httpx2.AsyncClient) -> None:
    """A code's page is HTML or JSON as requested, 404 for unknown codes, and needs no key."""
    del client.headers["Authorization"]
    page = await client.get("/problems/already_ended", headers={"Accept": "text/html"})
    explanation = await client.get("/problems/already_ended", headers={"Accept": "application/json"})
    nothing = await client.get("/problems/nonsense")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "The notification has ended" in page.text
    assert (explanation.json()["code"], explanation.json()["status"]) == ("already_ended", 409)
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")


async def test_pages_are_json_for_programs(client: httpx2.AsyncClient) -> None:
    """The start page and the index of codes, with `Accept: application/json`."""
    del client.headers["Authorization"]
    accept = {"Accept": "application/json"}
    start = (await client.get("/", headers=accept)).json()
    assert (start["name"], start["version"]) == ("Notifier", notifier.__version__)
    for name in ("documentation", "openapi", "problems", "readiness"):
        assert (await client.get(start[name])).status_code == 200, name
    index = (await client.get(start["problems"], headers=accept)).json()["problems"]
    assert {problem["code"] for problem in index} == set(PROBLEM_ENTRIES)
    explanation = (await client.get("/problems/gate_closed", headers=accept)).json()
    assert explanation in index


async def test_the_start_page_names_the_console_only_if_it_is_enabled(installation: Installation) -> None:
    """A link that leads nowhere is not shown."""
    without = installation.with_settings(console={"enabled": False})
    for place, is_named in ((installation, True), (without, False)):
        async with place.open_parts() as parts, place.open_client(parts) as client:
            page, start = await client.get("/"), await client.get("/", headers={"Accept": "application/json"})
        assert ('href="console/"' in page.text) is is_named
        assert (start.json()["console"] is not None) is is_named


async def test_a_browser_gets_a_page_for_an_unknown_path(client: httpx2.AsyncClient) -> None:
    """Programs get a problem; both are 404, and caches keep them apart."""
    page = await client.get("/nothing/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    problem = await client.get("/nothing/")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at this address" in page.text
    assert (problem.status_code, problem.json()["code"]) == (404, "not_found")
    assert page.headers["vary"] == problem.headers["vary"] == "Accept"


async def test_the_documentation_needs_no_other_server(client: httpx2.AsyncClient) -> None:
    """The page at /docs names no other host, and its files are served here."""
    del client.headers["Authorization"]
    page = await client.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"(?:https?:)?//[\w-]+\.", page.text)
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 4
    for path in [*assets, "/openapi.json"]:
        assert (await client.get(path)).status_code == 200, path
    assert (await client.get("/docs/nonsense")).status_code == 404
