"""The publish gate with real requests: which callers a draft breaks, what it changes, what is masked."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from support import published_template
from support.seeded_installation import Installation

from notifier.clock import SystemClock
from notifier.rendering.pool import RenderingPool
from notifier.runtime import wiring
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating.gate_report import GateReport
from notifier.templating.publish_gate import PublishGate

SECRET = "740-112-963"
HTML = '<html lang="en"><body>\n<p>Hello {{ name }}</p>\n<p>{{ code }}</p>\n</body></html>'
INSTANCE = "notifier@instance.example"


def source(html: str = HTML, subject: str = "Hello {{ name }}", **settings: Any) -> TemplateSource:
    """Build a template with a name, a secret code and an optional note."""
    files = {"subject.txt": subject, "body.html": html}
    known = TemplateSettings(name="Hello", **{"optional": ("note",), "secret": ("code",), **settings})
    return TemplateSource(files=files, sample={"name": "Ada", "code": "1", "note": "n"}, settings=known)


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    async with RenderingPool() as started:
        yield started


@pytest.fixture
async def shop(installation: Installation, parts: wiring.ProcessParts) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the shop; `hello` is published."""
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "hello", source())
    async with installation.open_client(parts) as client:
        yield client


async def ask(client: httpx2.AsyncClient, name: str, template: str = "hello", **request: Any) -> None:
    """Submit a request for the template."""
    values = {"name": name} | ({"code": SECRET} if template == "hello" else {"product": "Larkspur"})
    body = {"to": "ada@example.com", "template": template, "variables": values | request.pop("variables", {})} | request
    answer = await client.post("/v1/notifications", json=body)
    assert answer.status_code == 202, answer.text


async def look(parts: wiring.ProcessParts, pool: RenderingPool, draft: TemplateSource, **how: Any) -> GateReport:
    """Get the gate's report on the draft."""
    gate = PublishGate(parts.database.read, pool, SystemClock(), INSTANCE)
    return await gate.try_source("hello", draft, published_template.build_report(draft, [["name"]]), **how)


async def test_a_draft_that_needs_more_blocks_the_caller_who_lacks_it(
    installation: Installation, parts: wiring.ProcessParts, pool: RenderingPool, shop: httpx2.AsyncClient
) -> None:
    """A variable becomes required: the report names only the keys that do not send it."""
    for name in ("Ada", "Bob"):
        await ask(shop, name)
    async with installation.open_client(parts, installation.keys.other) as other:
        await ask(other, "Cy", variables={"note": "x"})
    report = await look(parts, pool, source(optional=()))
    other_tried, shop_tried = report.services
    assert (shop_tried.service, shop_tried.looked, shop_tried.refused, shop_tried.changed) == ("shop", 2, 2, 0)
    (refusal,) = shop_tried.refusals
    assert (refusal.pointer, refusal.code, refusal.requests) == ("/variables/note", "missing_variable", 2)
    key = (await shop.get("/v1/whoami")).json()["key"]["id"]
    assert refusal.keys == (key,)
    assert (other_tried.service, other_tried.refused, other_tried.refusals) == ("other", 0, ())
    assert report.blocks
    assert report.reasons == ("shop: 2 would be refused (422), of 2 requests.",)
    assert [
        (variable.before.required, variable.after.required, variable.after.path) for variable in report.altered
    ] == [(False, True, "note")]
    async with parts.database.write() as connection:
        await published_template.publish_template(connection, "hello", source(optional=()))
    assert not (await look(parts, pool, source("<p>{{ name }}", optional=()))).blocks  # they are refused today, too


async def test_a_draft_that_says_something_else_lists_the_mails_that_change(
    parts: wiring.ProcessParts, pool: RenderingPool, shop: httpx2.AsyncClient
) -> None:
    """The report groups equal changes, with diffs; requests for other templates are not counted."""
    for name in ("Ada", "Ada", "Bob"):
        await ask(shop, name)
    await ask(shop, "Ada", template="welcome")
    report_text: list[tuple[int, int]] = []
    draft = source(HTML.replace("Hello", "{% if name == 'Bob' %}Dear\n{% endif %}Good day,"))
    report = await look(parts, pool, draft, progress=lambda done, total: report_text.append((done, total)))
    assert report_text == [(0, 3), (3, 3)]
    assert (report.blocks, report.looked, report.changed) == (False, 3, 3)
    assert [(example.alike, example.changed) for example in report.examples] == [
        (2, ("html", "text")),
        (1, ("html", "text")),
    ]
    assert "-<p>Hello Ada</p>\n+<p>Good day, Ada</p>" in report.examples[0].diffs["html"]
    assert [(key.service, key.key) for key in report.keys] == [("shop", "")]


async def test_what_is_secret_is_nowhere_in_the_report(
    parts: wiring.ProcessParts, pool: RenderingPool, shop: httpx2.AsyncClient
) -> None:
    """Secrets are masked in diffs and faults, even if the draft drops the mark; unmasked reports show them."""
    await ask(shop, "Ada")
    drafts = (
        source(HTML.replace("{{ code }}", "Code: {{ code }}"), secret=()),
        source(HTML + "{% include code %}"),
        source(HTML.replace("{{ code }}", "{{ {}[code] }}")),
        source(HTML.replace("{{ code }}", "{{ code | date }}")),
        TemplateSource(files=source().files, sample={"name": "Ada", "code": {"a": 1}}, settings=source().settings),
    )
    reports = [await look(parts, pool, draft) for draft in drafts]
    assert [report.blocks for report in reports] == [False, True, True, True, True]
    assert all(SECRET not in json.dumps(report.as_json()) for report in reports)
    assert "+<p>Code: •••</p>" in reports[0].examples[0].diffs["html"]
    seen = await look(parts, pool, drafts[0], masked=False)
    assert f"+<p>Code: {SECRET}</p>" in seen.examples[0].diffs["html"]


async def test_a_sender_that_a_service_may_not_have_blocks_it(
    installation: Installation, parts: wiring.ProcessParts, pool: RenderingPool, shop: httpx2.AsyncClient
) -> None:
    """The template's sender is checked for services that use it, not for requests with their own sender."""
    await ask(shop, "Ada")
    async with installation.open_client(parts, installation.keys.other) as other:
        await ask(other, "Bob")
    await ask(shop, "Cy", **{"from": "own@shop.example"})
    report = await look(parts, pool, source(from_="Shop <orders@shop.example>"))
    assert [(tried.service, tried.refused) for tried in report.services] == [("other", 1), ("shop", 0)]
    (refusal,) = report.services[0].refusals
    assert (refusal.pointer, refusal.code) == ("/from", "from_not_allowed")
    assert not (await look(parts, pool, source(from_=f"Us <{INSTANCE}>"))).blocks
    assert [tried.refused for tried in (await look(parts, pool, source(from_="a@else.example"))).services] == [1, 1]


async def test_without_requests_there_is_nothing_against_a_draft(
    parts: wiring.ProcessParts, pool: RenderingPool
) -> None:
    """Without requests or without a published version, the report lists only the variables."""
    report = await look(parts, pool, source())
    assert (report.blocks, report.looked, report.number) == (False, 0, None)
    assert [variable.path for variable in report.added] == ["code", "name", "note"]
