"""A link that leads nowhere is refused at submit, wherever a template puts it, and never sent."""

import pytest
from msgspec.structs import replace
from parts.value_template import (
    ARROW,
    BAD,
    BAD_LINKS,
    COMPUTED,
    DOWN,
    FINE,
    GOOD_LINKS,
    LINK,
    PLACES,
    URL,
    faults,
    refused,
    renders,
    source,
)

from notifier.rendering.check import check
from notifier.rendering.language.faults import PartError
from notifier.rendering.usage import variables_of
from notifier.rendering.variables import faults_in
from notifier.rendering.version import CompiledVersion


@pytest.mark.parametrize("url", GOOD_LINKS)
def test_a_link_that_somebody_can_follow_is_taken_and_sent(url: str) -> None:
    """https, http, mail, telephone and text messages; blanks around an address are nobody's business."""
    template = source(LINK, ARROW)
    assert faults(template, {"url": url}) == []
    assert 'href="#"' not in CompiledVersion(template).render(None, {"url": url}).html


@pytest.mark.parametrize("url", BAD_LINKS)
def test_a_link_that_nobody_can_follow_is_refused_at_submit_and_not_sent(url: str) -> None:
    """The same value is refused with the pointer of its variable, and makes no mail if it gets that far."""
    template = source(LINK, ARROW)
    (fault,) = faults(template, {"url": url})
    assert (fault.pointer, fault.code) == ("/variables/url", "invalid_link")
    assert "begins with https://, http://, mailto:, tel: or sms:" in fault.detail
    assert len(url.strip()) < len("https:///") or url.strip() not in fault.detail
    assert not renders(template, {"url": url})


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "there is none"),
        ("shop.example", "it has no scheme"),
        ("shopapp://x", "its scheme is not one of those"),
        ("https://", "there is no host behind https://"),
        ("https://a\nb", "there is a line break or another control character in it"),
        ("tel:", "there is nothing behind its scheme"),
    ],
)
def test_the_reason_is_told(url: str, reason: str) -> None:
    """What is wrong with the address, beside what would be right."""
    (fault,) = faults(source(LINK, ARROW), {"url": url})
    assert fault.detail.endswith(f"; {reason}.")


@pytest.mark.parametrize(("html", "pointers"), PLACES.values(), ids=PLACES)
def test_a_link_is_found_wherever_a_template_puts_it(html: str, pointers: list[str]) -> None:
    """Straight, through names, loops, macros, layouts, defaults and conditions."""
    assert refused(source(html, DOWN), DOWN) == []
    assert refused(source(html, DOWN), BAD) == [f"/variables{pointer} invalid_link" for pointer in pointers]
    assert not renders(source(html, DOWN), BAD)


@pytest.mark.parametrize("html", FINE.values(), ids=FINE)
def test_what_makes_a_good_mail_is_not_refused(html: str) -> None:
    """An empty value where the template asks first, or where it is no link."""
    sample = {"url": URL, "on": True, "kind": "web", "list": [{"url": URL}]}
    values = {"url": "", "on": False, "kind": "none", "list": []}
    template = source(html, sample)
    assert (refused(template, values), renders(template, values)) == ([], True)


@pytest.mark.parametrize("html", COMPUTED)
def test_a_link_that_is_reckoned_out_fails_visibly(html: str) -> None:
    """Submit cannot know; the mail is not sent damaged, and says which line and why."""
    template = source(html, ARROW)
    assert refused(template, {"url": "shop.example"}) == []
    with pytest.raises(PartError, match=r"body.html, line 1.*“href” cannot take this text.*has no scheme"):
        CompiledVersion(template).render(None, {"url": "shop.example"})


def test_a_version_from_before_is_sent_as_it_was() -> None:
    """Nobody was told at submit, so its dead links stay dead and its mails are sent."""
    old = CompiledVersion(replace(source(LINK + '<p style="color: {{ url }}">', ARROW), strict=False))
    assert 'href="#"' in old.render(None, {"url": "shopapp://x"}).html
    assert 'href="/x"' in old.render(None, {"url": "/x"}).html
    assert 'href="tel:1"' in old.render(None, {"url": "tel:1"}).html
    assert 'href="#"' in old.render(None, {"url": "javascript:x"}).html
    schema = {"type": "object", "properties": {"url": {"type": "string"}}}
    assert faults_in(schema, {"url": "javascript:x"}) == []


def test_a_template_may_link_to_other_schemes() -> None:
    """In HTML and text, at submit, at publishing and in the mail."""
    allowed = source(LINK, {"url": "shopapp://x"}, "{{ url | safe_url }}", link_schemes=("shopapp", "webcal"))
    assert check(allowed).faults == []
    assert refused(allowed, {"url": "ShopApp://reset?t=1"}) == []
    assert renders(allowed, {"url": "webcal://shop.example/c.ics"})
    (fault,) = faults(allowed, {"url": "whatsapp://send"})
    assert "tel:, sms:, shopapp: or webcal:" in fault.detail
    assert check(source(LINK, {"url": "shopapp://x"})).faults
    assert refused(source('<img src="{{ url }}">', ARROW, link_schemes=("shopapp",)), {"url": "shopapp:x"})


@pytest.mark.parametrize(("url", "pointers"), [("https://x.example/a.png", []), ("cid:logo", []), ("tel:1", ["/url"])])
def test_images_come_from_the_web_or_with_the_mail(url: str, pointers: list[str]) -> None:
    """http, https and cid."""
    expected = [f"/variables{pointer} invalid_link" for pointer in pointers]
    assert refused(source('<img src="{{ url }}">', ARROW), {"url": url}) == expected


def test_what_callers_see_of_it() -> None:
    """The schema says in words and as a format what is wanted."""
    schema = variables_of(source(LINK, ARROW)).schema
    assert schema["properties"]["url"] == {
        "type": "string",
        "format": "uri",
        "description": "The address of a link; it begins with https://, http://, mailto:, tel: or sms:.",
    }
