"""Comparing versions in the pool: the cost of an endless draft, and that it harms nothing else."""

import json
from collections.abc import AsyncIterator

import pytest
from unit.rendering.hostile_templates import BOMB, STUBBORN

from notifier.rendering.pool import TOO_SLOW_FAULT, RenderingPool
from notifier.rendering.protocol import MailComparison, MailVariables
from notifier.template_language.template_source import TemplateSettings, TemplateSource
from notifier.templating.mail_comparison import VersionComparison


def source(html: str) -> TemplateSource:
    """Build a source with this HTML."""
    files = {"subject.txt": "Hi {{ x }}", "body.html": html}
    return TemplateSource(files=files, sample={"x": "a"}, settings=TemplateSettings(name="A"))


def payloads(*names: str) -> list[MailVariables]:
    """Build variables for each value of x."""
    return [MailVariables(locale=None, variables=json.dumps({"x": name})) for name in names]


@pytest.fixture
async def pool() -> AsyncIterator[RenderingPool]:
    async with RenderingPool() as started:
        yield started


@pytest.mark.parametrize("text", [STUBBORN, BOMB * 3 + "{% endfor %}" * 3])
async def test_a_draft_that_never_ends_is_tried_once_by_itself(pool: RenderingPool, text: str) -> None:
    """The first overrun is reported; mails before it are compared, those after it are not tried."""
    sources = {"old": source("<p>{{ x }}"), "new": source(f"<b>{{{{ x }}}}{{% if x == 'c' %}}{text}{{% endif %}}")}
    comparison = VersionComparison(pool=pool, before="old", after="new", sources=sources)
    results = await comparison.compare(payloads(*"abcde"))
    assert await comparison.compare(payloads("a")) == [None]
    changed = MailComparison(changed=["html"], shape=[1, 1])
    assert [results[0], results[1], *results[3:]] == [changed, changed, None, None]
    assert results[2] is not None
    assert results[2].before is None
    assert results[2].after == TOO_SLOW_FAULT if text is STUBBORN else results[2].is_slow


async def test_a_draft_may_cure_what_is_published(pool: RenderingPool) -> None:
    """Mails that time out in the published version are reported, and the draft is still tried on others."""
    cured = {"old": source(f"{BOMB * 3}{'{% endfor %}' * 3}{{{{ x }}}}"), "new": source("<b>{{ x }}")}
    comparison = VersionComparison(pool=pool, before="old", after="new", sources=cured)
    for name in "abc":
        (result,) = await comparison.compare(payloads(name))
        assert result is not None
        assert (result.was_slow, result.after) == (True, None)
    assert not comparison.is_over
