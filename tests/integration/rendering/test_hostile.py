"""Hostile templates and hostile values through a real pool: nothing gets out, nothing hangs, and good mail goes on."""

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
from notifier.template_language.render_fault import FaultCode, RenderFault
from notifier.template_language.template_source import TemplateSettings, TemplateSource

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
    """What a mail client would make of a mail: its elements, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what it is, and what it may do."""
        self.elements += [tag] if tag != "br" else []  # as many as a value has lines
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value or "" for name, value in attrs if name == "style"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "background")]


def source_of(hostile: Hostile) -> TemplateSource:
    """A whole template around a hostile HTML part."""
    files = {"subject.txt": "Hi", "body.html": hostile.html, "body.txt": "x", "_layouts/base.html": hostile.layout}
    return TemplateSource(files=files, sample=SAMPLE, settings=TemplateSettings(name="A"))


def job(version: str, **values: Any) -> RenderJob:
    """A mail of this version."""
    return RenderJob(version=version, locale=None, variables=json.dumps({**SAMPLE, **values}), header=HEADER)


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    async with RenderingPool() as started:
        yield started
        assert isinstance((await started.render([job("good")], {"good": GOOD}))[0], RenderedMail)  # after all of it


def test_the_corpora_are_large() -> None:
    """As many as were promised, each with a name of its own."""
    templates = [*REFUSED, *FAULTY, *ENDLESS]
    assert len({hostile.name for hostile in templates}) == len(templates) >= 40
    assert len(VALUES) >= 30


async def timed(pool: RenderingPool, hostile: Hostile) -> SourceCheck:
    """The report of a check, which ends however busy the host is."""
    async with asyncio.timeout(MAX_CHECK_SECONDS * 20):
        return await pool.check(source_of(hostile))


async def test_hostile_templates_are_refused_when_they_are_checked(pool: RenderingPool) -> None:
    """Each is a fault, those that only an attacker writes with a code of their own; no report gives anything away."""
    for hostile in [*REFUSED, *FAULTY, *ENDLESS]:
        report = await timed(pool, hostile)
        assert report.faults, hostile.name
        assert not any(leak in str([*report.faults, *report.previews.values()]) for leak in LEAKS), hostile.name
        if hostile in REFUSED:
            assert report.faults[0].code == FaultCode.FORBIDDEN, (hostile.name, report.faults)


async def test_hostile_templates_that_were_published_send_nothing(pool: RenderingPool) -> None:
    """A template that got past the check all the same fails alone; the good mails beside it are rendered."""
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
    """In every place of a mail: no element, no attribute and no live link that the template did not write."""
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
    """The mail with this value."""
    version = f"careful, {source.strict}"
    return await pool.preview(job(version, v=value), {version: source})


def leads_elsewhere(link: str) -> bool:
    """Whether a client would follow it to something that is neither a page, nor mail, nor an image of this mail."""
    seen = re.sub(r"[\x00-\x20\x7f]", "", link)
    scheme = re.match(r"([^/?#:]*):", seen)
    return scheme is not None and scheme[1].lower() not in ("http", "https", "mailto", "tel", "sms", "cid")


def read_by_a_client(html: str) -> Reader:
    """The HTML as it is parsed, with what is in conditional comments as Outlook would read it."""
    reader = Reader()
    reader.feed(html.replace("<!--[if mso]>", "").replace("<![endif]-->", ""))
    return reader
