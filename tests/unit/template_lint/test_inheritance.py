"""Text that a child template writes outside its layout's blocks is a fault with place and advice."""

from typing import Any

import pytest
from support.document_blocks import ROOT, list_blocks

from notifier.rendering.source_check import check_source
from notifier.template_language.template_source import TemplateSettings, TemplateSource

BASE = "<p>\n{% block preheader %}{% endblock %}\n{% block content %}{% block lead %}Lead{% endblock %}{% endblock %}"
MIDDLE = (
    '{% extends "_layouts/base.html" %}\n{% block content %}{{ super() }}{% block extra %}{% endblock %}{% endblock %}'
)
OPEN = '{% extends "_layouts/base.html" %}\n{% block content %}Hi{% endblock %}\n'
LAYOUTS = {
    "_layouts/base.html": BASE,
    "_layouts/middle.html": MIDDLE,
    "_layouts/base.txt": "{% block content %}{% endblock %}",
}


def faults(body: str, **files: str) -> list[str]:
    """The faults of a template with this HTML."""
    parts = {"subject.txt": "Hi {{ name }}", "body.html": body, **LAYOUTS, **files}
    sample: dict[str, Any] = {"name": "Ada", "gift": True, "layout": "_layouts/base.html"}
    return [
        str(fault)
        for fault in check_source(
            TemplateSource(files=parts, sample=sample, settings=TemplateSettings(name="A"))
        ).faults
    ]


def test_a_misnamed_block_is_told_with_the_blocks_of_the_layout() -> None:
    """A block that the layout lacks is a fault that lists the layout's blocks."""
    body = (
        '{% extends "_layouts/base.html" %}\n{% block preheader %}Your account{% endblock %}\n'
        "{% block contents %}<p>Dear {{ name }}, your account closes on Friday.</p>{% endblock %}"
    )
    (fault,) = faults(body)
    assert fault == (
        "body.html, line 3, column 4: the layout has no block “contents”: what stands in it would not be in the mail. "
        "Did you mean “content”? It has: preheader, content, lead."
    )


@pytest.mark.parametrize(
    ("body", "line", "column", "message", "advice"),
    [
        (OPEN + "Hello", 3, 1, "text stands outside the blocks", "{% block content %}"),
        (OPEN + "\n\n  <b>Hello</b>\n", 5, 3, "text stands outside the blocks", "Move it into a block"),
        (OPEN + "{{ name }}", 3, 1, "a value stands outside the blocks", "Move it into a block"),
        (OPEN + "{% include '_layouts/base.txt' %}", 3, 1, "“{% include %}” stands outside the blocks", "Move it"),
        (OPEN + "{% filter upper %}x{% endfilter %}", 3, 1, "“{% filter %}” stands outside", "Move it"),
        (OPEN + "{% if gift %}Gift{% endif %}", 3, 14, "text stands outside the blocks", "Move it"),
        (OPEN + "{% if gift %}{% else %}\n{{ name }}{% endif %}", 4, 1, "a value stands outside the blocks", "Move it"),
        (OPEN + "{% for x in [1] %}{{ x }}{% endfor %}", 3, 19, "a value stands outside the blocks", "Move it"),
        ("Hello\n" + OPEN, 1, 1, "text stands before {% extends %}", "Move it into a block"),
        (OPEN + "<!--[if mso]><p><![endif]-->", 3, 1, "text stands outside the blocks", "Move it"),
        (
            OPEN.replace("{% block", "{% if gift %}\n{% block") + "{% endif %}",
            2, 1, "“{% if %}” around the block “content” has no effect", "{% block content %} {% if %}",
        ),
        (
            OPEN + "{% for x in [1] %}{% block preheader %}{% endblock %}{% endfor %}",
            3, 1, "“{% for %}” around the block “preheader” has no effect", "Write it inside",
        ),
        (
            OPEN + "{% with x = 1 %}{% block preheader %}{% endblock %}{% endwith %}",
            3, 1, "“{% with %}” around the block “preheader” has no effect", "Write it inside",
        ),
        (
            OPEN + "{% block lead %}x{% endblock %}",
            3, 4, "the block “lead” stands in another one that this template replaces", "{{ super() }}",
        ),
        (
            OPEN.replace("base", "middle") + "{% block extra %}x{% endblock %}",
            3, 4, "the block “extra” stands in another one that this template replaces", "{{ super() }}",
        ),
        (OPEN + "{% block nowhere %}x{% endblock %}", 3, 4, "the layout has no block “nowhere”", "It has: preheader"),
        (OPEN + "{% block content %}{% endblock %}", 3, 4, "the block “content” is there twice", "line 2"),
        ("{% if gift %}" + OPEN + "{% endif %}", 1, 1, "“{% extends %}” stands within another tag", "at the beginning"),
        ("{% extends layout %}", 1, 4, "the layout is not named in quotes", "_layouts/base.html"),
        (
            '{% extends "_layouts/base.html" if gift else "x" %}',
            1, 4, "the layout is not named in quotes", "_layouts/base.html",
        ),
    ],
)  # fmt: skip
def test_what_would_be_dropped_is_told(body: str, line: int, column: int, message: str, advice: str) -> None:
    """Dropped text is reported with line, column, reason and advice."""
    (fault,) = faults(body)
    assert fault.startswith(f"body.html, line {line}, column {column}: {message}")
    assert advice in fault


@pytest.mark.parametrize(
    "body",
    [
        OPEN,
        "\n  \n{# first #}{% set a = 1 %}" + OPEN,
        OPEN + "{# a note #}\n<!-- a note\n of two lines -->\n  ",
        OPEN + "{% set a %}text{% endset %}{% macro m() %}text{% endmacro %}{% import '_layouts/base.txt' as b %}",
        OPEN + "{% if gift %}{% set a = 1 %}{% endif %}",
        OPEN.replace("Hi", "{% block mine %}Hi{% endblock %}"),
        OPEN.replace("Hi", "{% if gift %}Hi{% endif %}{{ super() }}") + "{% block lead %}x{% endblock %}",
        OPEN.replace("Hi", "{{ self.lead() }}") + "{% block lead %}x{% endblock %}",
        '{% extends "_layouts/middle.html" %}{% block extra %}x{% endblock %}{% block lead %}y{% endblock %}',
        "{% block anything %}<p>{% endblock %}text {{ name }}{% if gift %}{% block b %}{% endblock %}{% endif %}",
    ],
)
def test_what_a_mail_shows_is_no_fault(body: str) -> None:
    """Comments, white space and assignments may be outside blocks; nested blocks are shown."""
    assert faults(body) == []


def test_every_part_locale_and_layout_is_looked_at() -> None:
    """Each file is reported by its own name, in locales and text parts, too."""
    wrong = OPEN.replace("content", "contnt")
    files = {
        "body.txt": wrong.replace("html", "txt"),
        "locales/fr/subject.txt": "Salut",
        "locales/fr/body.html": wrong,
        "locales/fr/body.txt": "Salut",
        "_layouts/middle.html": '{% extends "_layouts/base.html" %}{% block extra %}{% endblock %}',
    }
    faults_found = faults('{% extends "_layouts/middle.html" %}\n{% block extra %}x{% endblock %}', **files)
    assert [fault.partition(",")[0] for fault in faults_found] == [
        "body.html",
        "_layouts/middle.html",
        "body.txt",
        "locales/fr/body.html",
    ]
    assert all("the layout has no block" in fault for fault in faults_found)


def test_a_block_that_has_to_be_filled_is_told() -> None:
    """A missing required block is reported with the tag to write."""
    layout = "<p>\n{% block legal required %}{% endblock %}"
    (fault,) = faults(
        '{% extends "_layouts/base.html" %}', **{"_layouts/base.html": layout, "_layouts/middle.html": ""}
    )
    assert "the block “legal” has to be filled. Write {% block legal %} … {% endblock %} into the template." in fault


def test_a_layout_that_is_missing_is_told_once() -> None:
    """A missing layout is one fault, without faults about its blocks."""
    (fault,) = faults('{% extends "_layouts/bsae.html" %}{% block x %}{% endblock %}')
    assert "there is no file “_layouts/bsae.html”" in fault


def test_what_the_page_for_editors_shows_is_said() -> None:
    """The mistakes in docs/templates.md give the messages that are shown there."""
    html = [block.text for block in list_blocks("docs/templates.md") if block.rest.endswith("test_inheritance.py")]
    assert len(html) == 4
    layout = (ROOT / "templates" / "_layouts" / "base.txt").read_text()
    sample = {"name": "Ada", "is_gift": True}
    for body, message in zip(html[::2], html[1::2], strict=True):
        files = {"subject.txt": "Hi", "body.html": "-", "body.txt": body, "_layouts/base.txt": layout}
        report = check_source(TemplateSource(files=files, sample=sample, settings=TemplateSettings(name="A")))
        assert [str(fault) for fault in report.faults] == message.splitlines()
