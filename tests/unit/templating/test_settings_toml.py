"""Writing `template.toml` and reading it back."""

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.template_language.template_source import TemplateSettings
from notifier.templating import settings_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
TEXTS = st.lists(TEXT, max_size=5).map(tuple)


@dataclass(frozen=True)
class Case:
    """One field with a value."""

    settings: TemplateSettings
    text: str


@given(
    st.builds(
        TemplateSettings,
        name=TEXT,
        description=TEXT,
        category=TEXT,
        priority=TEXT,
        locale=TEXT,
        expires_after=st.none() | TEXT,
        when_uncertain=TEXT,
        optional=TEXTS,
        from_=st.none() | TEXT,
        reply_to=st.none() | TEXT,
        public=TEXTS,
        secret=TEXTS,
    )
)
def test_what_is_written_reads_the_same(settings: TemplateSettings) -> None:
    """Any characters are read back unchanged, also quotes, line ends and DEL."""
    assert settings_toml.parse_settings(settings_toml.format_settings(settings)) == settings


@pytest.mark.parametrize(
    "case",
    [
        Case(TemplateSettings(name="A"), 'name = "A"\ncategory = "transactional"\npriority = "normal"\n'),
        Case(
            TemplateSettings(name='Say "hi"', from_="Ada <ada@example.org>", priority="bulk", optional=("a", "b.c")),
            'name = "Say \\"hi\\""\ncategory = "transactional"\npriority = "bulk"\noptional = ["a", "b.c"]\n'
            'from = "Ada <ada@example.org>"\n',
        ),
        Case(
            TemplateSettings(name="A", secret=("x" * 70, "y" * 70)),
            'name = "A"\ncategory = "transactional"\npriority = "normal"\n'
            f'secret = [\n  "{"x" * 70}",\n  "{"y" * 70}",\n]\n',
        ),
    ],
)
def test_it_is_written_as_a_person_would(case: Case) -> None:
    """One key per line, without defaults except two, and long lists with one item per line."""
    assert settings_toml.format_settings(case.settings) == case.text


def test_every_key_has_a_default_or_is_the_name() -> None:
    """Every key except the name has a default."""
    fields = msgspec.structs.fields(TemplateSettings)
    assert [field.name for field in fields if field.default is msgspec.NODEFAULT] == ["name"]


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nname = 2", 2), ('"name" = 2', 1), ("[name]", 1), ("  name.x = 1", 1), ("names = 1", None)],
)
def test_the_line_of_a_key(text: str, line: int | None) -> None:
    """The line of a bare, quoted, dotted or table key is found, and no longer key matches."""
    assert settings_toml.find_line(text, "name") == line
