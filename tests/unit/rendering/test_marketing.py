"""Marketing mails have an unsubscribe link."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from notifier.mail.mail_parts import Mailbox, MailHeader, RenderedMail
from notifier.rendering.child_program import RenderingChild
from notifier.rendering.protocol import RenderBatchAnswer, RenderBatchRequest, RenderJob
from notifier.template_language.template_source import RenderFault, TemplateSettings, TemplateSource

FILES = {"subject.txt": "News", "body.html": "<p>", "body.txt": "x"}
URL = "https://shop.example/off?u=1,2"


def sent(category: str = "marketing", extra: dict[str, str] | None = None, **values: Any) -> list[str] | RenderFault:
    """The header lines of a mail of this category, or its fault."""
    source = TemplateSource(files=FILES, sample={}, settings=TemplateSettings(name="A", category=category))
    header = MailHeader(
        message_id="<1@shop.example>",
        date=datetime(2026, 3, 9, tzinfo=UTC),
        sender=Mailbox("shop@shop.example"),
        recipient="ada@example.com",
        extra=extra or {},
    )
    job = RenderJob(version="v", locale=None, variables=json.dumps(values), header=header)
    answer = RenderingChild().answer_request(RenderBatchRequest(jobs=[job], sources={"v": source}))
    assert isinstance(answer, RenderBatchAnswer)
    (result,) = answer.results
    if isinstance(result, RenderFault):
        return result
    assert isinstance(result, RenderedMail)
    return result.wire.partition(b"\r\n\r\n")[0].decode().split("\r\n")


def test_marketing_carries_the_callers_address() -> None:
    """The variable becomes List-Unsubscribe, without List-Unsubscribe-Post."""
    lines = sent(unsubscribe_url=URL)
    assert isinstance(lines, list)
    assert [line for line in lines if "nsubscribe" in line] == [f"List-Unsubscribe: <{URL}>"]


@pytest.mark.parametrize(
    "values",
    [{}]
    + [{"unsubscribe_url": url} for url in ("http://x.example/", "", "https://", "https://x.example/ y", 1, None)]
    + [
        {"unsubscribe_url": "https://x.example/>, <mailto:a@b.example"},
        {"unsubscribe_url": f"{URL}\r\nBcc: e@x.example"},
    ]
    + [{"unsubscribe_url": "https://münchen.example/"}, {"unsubscribe_url": "https://x.example/" + "a" * 999}],
)
def test_marketing_without_a_good_address_is_not_sent(values: dict[str, Any]) -> None:
    """A missing, non-https or invalid address is a fault of the mail."""
    fault = sent(**values)
    assert isinstance(fault, RenderFault)
    assert "“unsubscribe_url”, an https:// address" in fault.message


def test_a_field_of_the_callers_own_is_kept() -> None:
    """A custom List-Unsubscribe header is kept unchanged."""
    lines = sent(extra={"List-unsubscribe": "<https://own.example/>"}, unsubscribe_url=URL)
    assert isinstance(lines, list)
    assert [line for line in lines if "nsubscribe" in line] == ["List-unsubscribe: <https://own.example/>"]


def test_other_mail_has_none() -> None:
    """A transactional mail needs no such variable, and does not use it."""
    lines = sent("transactional", unsubscribe_url=URL)
    assert isinstance(lines, list)
    assert not [line for line in lines if "nsubscribe" in line]
