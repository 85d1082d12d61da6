"""An invalid link is refused at submit wherever a template uses it, and is never sent."""

import pytest
from msgspec.structs import replace
from support.value_check_template import (
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
    build_value_source,
    can_render,
    find_faults,
    list_refused,
)

from notifier.rendering.source_check import check_source
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError
from notifier.template_language.variable_schema import find_variable_faults
from notifier.template_language.variable_usage import analyze_variables


@pytest.mark.parametrize("url", GOOD_LINKS)
def test_a_link_that_somebody_can_follow_is_taken_and_sent(url: str) -> None:
    """https, http, mailto, tel and sms are accepted, with spaces around them."""
    template = build_value_source(LINK, ARROW)
    assert find_faults(template, {"url": url}) == []
    assert 'href="#"' not in CompiledVersion(template).render(None, {"url": url}).html


@pytest.mark.parametrize("url", BAD_LINKS)
def test_a_link_that_nobody_can_follow_is_refused_at_submit_and_not_sent(url: str) -> None:
    """The value is refused with its variable's pointer, and rendering fails as well."""
    template = build_value_source(LINK, ARROW)
    (fault,) = find_faults(template, {"url": url})
    assert (fault.pointer, fault.code) == ("/variables/url", "invalid_link")
    assert "begins with https://, http://, mailto:, tel: or sms:" in fault.detail
    assert len(url.strip()) < len("https:///") or url.strip() not in fault.detail
    assert not can_render(template, {"url": url})


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
    """The message says what is wrong with the address and what is expected."""
    (fault,) = find_faults(build_value_source(LINK, ARROW), {"url": url})
    assert fault.detail.endswith(f"; {reason}.")


@pytest.mark.parametrize(("html", "pointers"), PLACES.values(), ids=PLACES)
def test_a_link_is_found_wherever_a_template_puts_it(html: str, pointers: list[str]) -> None:
    """Links are found directly and through names, loops, macros, layouts, defaults and conditions."""
    assert list_refused(build_value_source(html, DOWN), DOWN) == []
    assert list_refused(build_value_source(html, DOWN), BAD) == [
        f"/variables{pointer} invalid_link" for pointer in pointers
    ]
    assert not can_render(build_value_source(html, DOWN), BAD)


@pytest.mark.parametrize("html", FINE.values(), ids=FINE)
def test_what_makes_a_good_mail_is_not_refused(html: str) -> None:
    """An empty value is accepted where the template tests it or does not use it as a link."""
    sample = {"url": URL, "on": True, "kind": "web", "list": [{"url": URL}]}
    values = {"url": "", "on": False, "kind": "none", "list": []}
    template = build_value_source(html, sample)
    assert (list_refused(template, values), can_render(template, values)) == ([], True)


@pytest.mark.parametrize("html", COMPUTED)
def test_a_link_that_is_reckoned_out_fails_visibly(html: str) -> None:
    """A computed link cannot be checked at submit; the mail fails with line and reason."""
    template = build_value_source(html, ARROW)
    assert list_refused(template, {"url": "shop.example"}) == []
    with pytest.raises(PartError, match=r"body.html, line 1.*“href” cannot take this text.*has no scheme"):
        CompiledVersion(template).render(None, {"url": "shop.example"})


def test_a_version_from_before_is_sent_as_it_was() -> None:
    """A version from before the checks is sent, with its bad links removed."""
    old = CompiledVersion(replace(build_value_source(LINK + '<p style="color: {{ url }}">', ARROW), strict=False))
    assert 'href="#"' in old.render(None, {"url": "shopapp://x"}).html
    assert 'href="/x"' in old.render(None, {"url": "/x"}).html
    assert 'href="tel:1"' in old.render(None, {"url": "tel:1"}).html
    assert 'href="#"' in old.render(None, {"url": "javascript:x"}).html
    schema = {"type": "object", "properties": {"url": {"type": "string"}}}
    assert find_variable_faults(schema, {"url": "javascript:x"}) == []


def test_a_template_may_link_to_other_schemes() -> None:
    """An allowed scheme works in HTML and text, at submit, publish and sending."""
    allowed = build_value_source(
        LINK, {"url": "shopapp://x"}, "{{ url | safe_url }}", link_schemes=("shopapp", "webcal")
    )
    assert check_source(allowed).faults == []
    assert list_refused(allowed, {"url": "ShopApp://reset?t=1"}) == []
    assert can_render(allowed, {"url": "webcal://shop.example/c.ics"})
    (fault,) = find_faults(allowed, {"url": "whatsapp://send"})
    assert "tel:, sms:, shopapp: or webcal:" in fault.detail
    assert check_source(build_value_source(LINK, {"url": "shopapp://x"})).faults
    assert list_refused(
        build_value_source('<img src="{{ url }}">', ARROW, link_schemes=("shopapp",)), {"url": "shopapp:x"}
    )


@pytest.mark.parametrize(("url", "pointers"), [("https://x.example/a.png", []), ("cid:logo", []), ("tel:1", ["/url"])])
def test_images_come_from_the_web_or_with_the_mail(url: str, pointers: list[str]) -> None:
    """Image sources are http, https or cid."""
    expected = [f"/variables{pointer} invalid_link" for pointer in pointers]
    assert list_refused(build_value_source('<img src="{{ url }}">', ARROW), {"url": url}) == expected


def test_what_callers_see_of_it() -> None:
    """The schema has a description and a format for links."""
    schema = analyze_variables(build_value_source(LINK, ARROW)).schema
    assert schema["properties"]["url"] == {
        "type": "string",
        "format": "uri",
        "description": "The address of a link; it begins with https://, http://, mailto:, tel: or sms:.",
    }
