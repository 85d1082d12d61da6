"""Hostile templates and values in a real pool: no leak, no hang, and good mails are rendered."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from msgspec.structs import replace
from unit.rendering.hostile_templates import ENDLESS, FAULTY, REFUSED, VALUES, Hostile

from notifier.mail.mail_parts import Mailbox, MailHeader, RenderedMail
from notifier.rendering.pool import MAX_CHECK_SECONDS, RenderingPool
from notifier.rendering.protocol import PreviewedMail, RenderJob, SourceCheck
from notifier.template_language.template_source import FaultCode, RenderFault, TemplateSettings, TemplateSource

LEAKS = ("root:x:0", "<class '", "<function", "<built-in", "<module", "<generator", "<jinja2", " object at 0x")
SAMPLE: dict[str, Any] = {"x": "<", "items": ["a", "b"], "order": {"total": 1, "off": False}}
HEADER = MailHeader(
    message_id="<1@shop.example>",
    date=datetime(2026, 3, 9, tzinfo=UTC),
    sender=Mailbox("shop@shop.example"),
    recipient="ada@example.com",
)
CAREFUL = """<html lang="{{ locale }}"><head><title>{{ v }}</title><style>p { color: {{ v }} }</style></head><body>
{% macro m(a) %}<b>{{ a }}</b>{% endmacro %}{% set s %}<i>{{ v }}</i>{% endset %}
<p title="{{ v }}" class='{{ v }}' id={{ v }} style="color: {{ v }}">{{ v }}{{ v ~ "" }}{{ m(v) }}{{ s }}{{ [v] }}</p>
<a href="{{ v }}">1</a><a href='{{ v }}'>2</a><a href={{ v }}>3</a><a href="{{ s }}">4</a><a href="{{ v }}/x">5</a>
<a href="{% if v %}{{ v }}{% endif %}">6</a><a href="{{ v }}:{{ v }}">7</a><img src="{{ v }}"><td background="{{ v }}">
{% filter upper %}{{ v }}{% endfilter %}{{ (v ~ "") | replace("a", "<") | truncate(99) | wordwrap(9) }}
<!-- {{ v }} --><!--[if mso]><a href="{{ v }}" title="{{ v }}">8</a><![endif]-->{{ (v ~ "") | nl2br }}
{% macro c() %}<u>{{ caller() }}</u>{% endmacro %}{% call c() %}{{ v }}{% endcall %}
{{ v | default(v) | e }}{{ [v, s] | join(s) }}
{{ s ~ v }}{{ "%s" ~ v }}
</body></html>"""
GOOD = TemplateSource(
    files={"subject.txt": "Hi", "body.html": "<p>{{ x }}</p>", "body.txt": "x"},
    sample=SAMPLE,
    settings=TemplateSettings(name="A"),
)


class Reader(HTMLParser):
    """The elements and link targets of a mail, as a client parses them."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element and its links."""
        self.elements += [tag] if tag != "br" else []  # as many as a value has lines
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value or "" for name, value in attrs if name == "style"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "background")]


def source_of(hostile: Hostile) -> TemplateSource:
    """Build a template around a hostile HTML part."""
    files = {"subject.txt": "Hi", "body.html": hostile.html, "body.txt": "x", "_layouts/base.html": hostile.layout}
    return TemplateSource(files=files, sample=SAMPLE, settings=TemplateSettings(name="A"))


def job(version: str, **values: Any) -> RenderJob:
    """Build a mail of this version."""
    return RenderJob(version=version, locale=None, variables=json.dumps({**SAMPLE, **values}), header=HEADER)


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    async with RenderingPool() as started:
        yield started
        assert isinstance((await started.render([job("good")], {"good": GOOD}))[0], RenderedMail)  # after all of it


def test_the_corpora_are_large() -> None:
    """The corpora have the promised sizes, with unique names."""
    templates = [*REFUSED, *FAULTY, *ENDLESS]
    assert len({hostile.name for hostile in templates}) == len(templates) >= 40
    assert len(VALUES) >= 30


async def timed(pool: RenderingPool, hostile: Hostile) -> SourceCheck:
    """The report of a check, which must end within a time limit."""
    async with asyncio.timeout(MAX_CHECK_SECONDS * 20):
        return await pool.check(source_of(hostile))


async def test_hostile_templates_are_refused_when_they_are_checked(pool: RenderingPool) -> None:
    """Each hostile template has a fault, attacks have a code of their own, and no report leaks anything."""
    for hostile in [*REFUSED, *FAULTY, *ENDLESS]:
        report = await timed(pool, hostile)
        assert report.faults, hostile.name
        assert not any(leak in str([*report.faults, *report.previews.values()]) for leak in LEAKS), hostile.name
        if hostile in REFUSED:
            assert report.faults[0].code == FaultCode.FORBIDDEN, (hostile.name, report.faults)


async def test_hostile_templates_that_were_published_send_nothing(pool: RenderingPool) -> None:
    """A hostile template fails alone, and the other mails of the batch are rendered."""
    several = [*REFUSED, *FAULTY]
    for start in range(0, len(several), 8):  # few at a time, or a busy host would take them for an overrun
        hostile = several[start : start + 8]
        sources = {template.name: source_of(template) for template in hostile} | {"good": GOOD}
        results = await pool.render([job(name) for template in hostile for name in (template.name, "good")], sources)
        for template, bad, good in zip(hostile, results[::2], results[1::2], strict=True):
            assert not isinstance(bad, RenderedMail), template.name
            assert isinstance(good, RenderedMail), template.name
            assert not any(leak in str(bad) for leak in LEAKS), template.name


@pytest.mark.parametrize("strict", [False, True], ids=["published long ago", "published today"])
async def test_hostile_values_stay_values(pool: RenderingPool, strict: bool) -> None:  # noqa: FBT001 - a parameter
    """A value never adds an element, attribute or working link, wherever it stands."""
    careful = TemplateSource(
        files={"subject.txt": "Hi", "body.html": CAREFUL, "body.txt": "{{ v }}"},
        sample={"v": "a"},
        settings=TemplateSettings(name="A"),
        strict=strict,
    )
    plain = await render_shown(pool, replace(careful, strict=False), "https://shop.example")
    assert isinstance(plain, PreviewedMail)
    for name, value in VALUES.items():
        mail = await render_shown(pool, careful, value)
        if strict and isinstance(mail, RenderFault):
            continue
        assert isinstance(mail, PreviewedMail), (name, mail)
        assert isinstance(mail.html, str)
        read = read_by_a_client(mail.html)
        assert read.elements == read_by_a_client(plain.html or "").elements, name
        assert read.attributes == read_by_a_client(plain.html or "").attributes, name
        assert [link for link in read.links if leads_elsewhere(link)] == [], name
        assert [style for style in read.styles if re.search(r"[;(\\]|/\*", style)] == [], name
        assert not any(leak in mail.html for leak in LEAKS), name


async def render_shown(pool: RenderingPool, source: TemplateSource, value: Any) -> PreviewedMail | RenderFault:
    """Render the mail with this value."""
    version = f"careful, {source.strict}"
    return await pool.preview(job(version, v=value), {version: source})


def leads_elsewhere(link: str) -> bool:
    """True if a client would follow a link that is no page, no mail address and no image of this mail."""
    seen = re.sub(r"[\x00-\x20\x7f]", "", link)
    scheme = re.match(r"([^/?#:]*):", seen)
    return scheme is not None and scheme[1].lower() not in ("http", "https", "mailto", "tel", "sms", "cid")


def read_by_a_client(html: str) -> Reader:
    """The parsed HTML, with conditional comments as Outlook reads them."""
    reader = Reader()
    reader.feed(html.replace("<!--[if mso]>", "").replace("<![endif]-->", ""))
    return reader
