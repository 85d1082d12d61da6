"""The source line of a rendered place is right or unknown, never wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.template_source import HTML, PARTS, TEXT, TemplateSettings, TemplateSource
from notifier.template_lint.lint_rule import SampleMail
from notifier.template_lint.source_origin import FIRST_MARK, MarkedPart, OriginFinder, SourceOrigin
from notifier.templating.sync import template_files

SHIPPED = Path("templates")


def mail_of(source: TemplateSource, tag: str | None = None) -> SampleMail:
    """Render the sample without marks."""
    written = CompiledVersion(source).render_unstyled(tag, dict(source.sample))
    return SampleMail(
        source=source,
        tag=tag,
        values=dict(source.sample),
        subject=written.subject,
        html=written.html,
        text=written.text,
        sent_html="",
    )


def wrong_places(source: TemplateSource, marked: MarkedPart) -> list[tuple[str, SourceOrigin]]:
    """The pieces whose reported line does not contain them."""
    wrong = []
    lines = {name: text.split("\n") for name, text in source.files.items()}
    edges = [*marked.starts, len(marked.text)]
    for start, end, origin in zip(edges, edges[1:], marked.origins, strict=False):
        line, piece = lines[origin.file][origin.line - 1], marked.text[start:end]
        if not ("{{" in line if origin.is_value else piece.strip("\n") in line):
            wrong.append((piece, origin))
    return wrong


@pytest.mark.parametrize("slug", template_files.list_slugs(SHIPPED))
def test_every_place_of_a_shipped_template_is_known(slug: str) -> None:
    """In shipped templates each character has its right line, and the text is unchanged."""
    source = template_files.read_template(SHIPPED, slug)
    origins = OriginFinder(source)
    for tag in (None, *source.locales):
        mail = mail_of(source, tag)
        texts = dict(zip(PARTS, (mail.subject, mail.html, mail.text), strict=True))
        for part, text in texts.items():
            marked = origins.get_marked_part(mail, part)
            assert marked is not None
            assert (marked.text, marked.starts[0]) == (text, 0)
            assert wrong_places(source, marked) == []


WORDS = st.text("ab &\n\t%}", max_size=12) | st.just("<b>x\n</b>")
PIECES = st.recursive(
    WORDS | st.sampled_from(["{{ a }}", "{{ b }}", "{{- a -}}", "{# x\n y #}", "{{ say(b) }}", "{{ a\n | upper }}"]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["{% if a %}", "{%- if b -%}\n", "{% if not a %}"]), inner).map(
            lambda pair: f"{pair[0]}{pair[1]}{{% endif %}}"
        ),
        inner.map(lambda text: f"{{% for i in range(2) %}}\n{text}{{% endfor %}}"),
        inner.map(lambda text: f"{{% set c %}}{text}{{% endset %}}{{{{ c }}}}{{{{ c | length }}}}"),
        st.tuples(inner, inner).map("\n".join),
    ),
    max_leaves=8,
)
VALUES = st.text(st.sampled_from("xy<\n" + chr(FIRST_MARK) + chr(FIRST_MARK + 3)), max_size=4)
MACRO = "{% macro say(text) %}\n- {{ text }}\n{% endmacro %}\n"


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(text=PIECES, a=VALUES, b=VALUES)
def test_a_place_is_right_or_not_known(text: str, a: str, b: str) -> None:
    """Marks are removed again, even if a value contains them or a template counts characters."""
    sample: dict[str, Any] = {"a": a, "b": b}
    parts = {"subject.txt": "Hello", HTML: MACRO + text, TEXT: MACRO + text}
    source = TemplateSource(files=parts, sample=sample, settings=TemplateSettings(name="A"))
    mail = mail_of(source)
    origins = OriginFinder(source)
    for part, plain in ((HTML, mail.html), (TEXT, mail.text)):
        marked = origins.get_marked_part(mail, part)
        assert marked is None or (marked.text, wrong_places(source, marked)) == (plain, [])


def test_a_template_that_counts_what_it_writes_has_no_places() -> None:
    """A part that counts its output has no places; the other parts have theirs."""
    counting = "{% set c %}ab{% endset %}{{ c | length }}"
    parts = {"subject.txt": "Hello", HTML: "<p>", TEXT: counting}
    source = TemplateSource(files=parts, sample={}, settings=TemplateSettings(name="A"))
    origins, mail = OriginFinder(source), mail_of(source)
    assert mail.text == "2"
    assert origins.find_origin(mail, TEXT, 0) is None
    assert origins.find_origin(mail, HTML, 0) == (HTML, 1, False)
