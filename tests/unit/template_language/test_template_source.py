"""A template's source: the choice of a locale, and its content hash."""

import pytest

from notifier.template_language.template_source import (
    TemplateSettings,
    TemplateSource,
    choose_locale,
    list_fallback_locales,
)


def source(**changes: object) -> TemplateSource:
    """Build a small source with changes."""
    values: dict[str, object] = {
        "files": {"subject.txt": "Hi", "body.html": "<p>Hi</p>"},
        "sample": {"b": 1, "a": {"y": 1, "x": 2}},
        "settings": TemplateSettings(name="Hi"),
    }
    return TemplateSource(**(values | changes))  # type: ignore[arg-type]  # the test names the fields


@pytest.mark.parametrize(
    ("tag", "chain"),
    [
        ("fr-CA", ["fr-CA", "fr"]),
        ("fr_CA", ["fr-CA", "fr"]),
        ("zh-Hant-TW", ["zh-Hant-TW", "zh-Hant", "zh"]),
        ("fr", ["fr"]),
        ("", []),
        (None, []),
    ],
)
def test_a_tag_is_shortened_step_by_step(tag: str | None, chain: list[str]) -> None:
    """The most specific tag comes first, the default last."""
    assert list_fallback_locales(tag) == chain


@pytest.mark.parametrize(
    ("tag", "chosen"),
    [
        ("fr-CA", "fr-CA"),
        ("FR-ca", "fr-CA"),
        ("fr_CA", "fr-CA"),
        ("fr-CH", "fr"),
        ("fr-CA-x-home", "fr-CA"),
        ("de-AT", None),
        ("", None),
        (None, None),
    ],
)
def test_the_closest_locale_is_chosen(tag: str | None, chosen: str | None) -> None:
    """fr-CA, then fr, then the default, in any case."""
    assert choose_locale({"fr-ca": "fr-CA", "fr": "fr"}, tag) == chosen


def test_the_locales_are_those_with_parts() -> None:
    """Each folder below `locales` is a locale."""
    files = {"subject.txt": "", "locales/fr/subject.txt": "", "locales/fr/body.html": "", "locales/de/subject.txt": ""}
    assert source(files=files).locales == ["de", "fr"]


def test_the_hash_does_not_depend_on_order() -> None:
    """The order of keys does not change the hash."""
    turned = source(
        files={"body.html": "<p>Hi</p>", "subject.txt": "Hi"},
        sample={"a": {"x": 2, "y": 1}, "b": 1},
        settings=TemplateSettings(name="Hi"),
    )
    assert turned.content_hash() == source().content_hash()


def test_the_hash_is_what_it_was() -> None:
    """The hash equals that of earlier releases; another one would republish every template."""
    assert source().content_hash() == "51b55c9c39968a5792f98f1ab02e9756f4669437721fae38b01908d14bec85e6"


@pytest.mark.parametrize(
    "changes",
    [
        {"files": {"subject.txt": "Hi!", "body.html": "<p>Hi</p>"}},
        {"files": {"subject.txt": "Hi", "body.html": "<p>Hi</p>", "_layouts/base.html": ""}},
        {"sample": {"b": 1, "a": {"y": 1, "x": 3}}},
        {"sample": {"b": True, "a": {"y": 1, "x": 2}}},
        {"settings": TemplateSettings(name="Hi", priority="high")},
        {"settings": TemplateSettings(name="Hi", optional=("b",))},
    ],
)
def test_the_hash_tells_any_change(changes: dict[str, object]) -> None:
    """A different part, layout, sample value or setting changes the hash."""
    assert source(**changes).content_hash() != source().content_hash()
