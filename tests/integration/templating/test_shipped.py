"""The shipped templates are publishable without a warning, and their samples are complete."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import nodes

from notifier.mail.limits import TIME_LIMIT
from notifier.rendering.source_check import check_source
from notifier.template_language import variable_schema as variable
from notifier.template_language.sandbox import create_environment
from notifier.template_language.template_source import TemplateSource
from notifier.templating.sync import template_files

ROOT = Path("templates")
SLUGS = template_files.list_slugs(ROOT)


@pytest.fixture(autouse=True)
def _patient_limit() -> Iterator[None]:
    """Give a part ten times as long as in production, because a test host may be slow."""
    seconds = TIME_LIMIT.seconds
    TIME_LIMIT.seconds = 10 * seconds
    yield
    TIME_LIMIT.seconds = seconds


def leaves(sample: dict[str, Any]) -> set[str]:
    """The names of all innermost values in a sample."""
    names: set[str] = set()
    for key, value in sample.items():
        inner = value if isinstance(value, list) else [value]
        objects = [item for item in inner if isinstance(item, dict)]
        names |= set().union(*map(leaves, objects)) if objects else {key}
    return names


def names_read(source: TemplateSource, prefix: str) -> set[str]:
    """Every name and attribute that the parts of a locale read, including their layouts."""
    env = create_environment(source.files, autoescape=False)
    names = set()
    waiting = [name for name in source.files if name.startswith(prefix)]
    if not prefix:
        waiting = [name for name in waiting if not name.startswith(("locales/", "_layouts/"))]
    while waiting:
        tree = env.parse(source.files[waiting.pop()])
        names |= {node.name for node in tree.find_all(nodes.Name)}
        names |= {node.attr for node in tree.find_all(nodes.Getattr)}
        waiting += [node.template.as_const() for node in tree.find_all(nodes.Extends)]
    return names


def test_there_are_shipped_templates() -> None:
    """There are shipped templates to check."""
    assert SLUGS == ["daily_report", "newsletter", "order_shipped", "password_reset", "welcome"]


@pytest.mark.parametrize("slug", SLUGS)
def test_a_shipped_template_is_publishable_without_a_warning(slug: str) -> None:
    """It renders in every locale, with and without what is optional, and no client cuts it."""
    source = template_files.read_template(ROOT, slug)
    report = check_source(source)
    assert (report.faults, report.remarks) == ([], [])
    assert set(report.previews) == {source.settings.locale, *source.locales}


@pytest.mark.parametrize("slug", SLUGS)
def test_every_variable_of_the_sample_is_used(slug: str) -> None:
    """Every variable is shown in some locale, so no caller sends a useless value."""
    source = template_files.read_template(ROOT, slug)
    for prefix in ("", *(f"locales/{tag}/" for tag in source.locales)):
        assert leaves(source.sample) - names_read(source, prefix) == set(), prefix


@pytest.mark.parametrize("slug", SLUGS)
def test_every_optional_path_can_be_left_out_alone(slug: str) -> None:
    """Without any single optional value the mail is rendered and the schema accepts it."""
    source = template_files.read_template(ROOT, slug)
    schema = variable.build_schema(source.sample, source.settings.optional)
    assert source.settings.optional
    for path in source.settings.optional:
        sample = variable.remove_optional(source.sample, [path])
        assert sample != source.sample, f"{path} is not in the sample"
        assert variable.find_variable_faults(schema, sample) == []
        less = TemplateSource(files=source.files, sample=sample, settings=source.settings)
        assert check_source(less).faults == [], path


@pytest.mark.parametrize("slug", SLUGS)
def test_what_is_not_optional_is_demanded(slug: str) -> None:
    """A missing required value is a fault at submit, never an error while rendering."""
    source = template_files.read_template(ROOT, slug)
    schema = variable.build_schema(source.sample, source.settings.optional)
    for key in set(source.sample) - set(source.settings.optional):
        faults = variable.find_variable_faults(schema, variable.remove_optional(source.sample, [key]))
        assert [(fault.pointer, fault.code) for fault in faults] == [(f"/variables/{key}", "missing_variable")]


@pytest.mark.parametrize("slug", SLUGS)
def test_each_part_shows_the_sample(slug: str) -> None:
    """Subject, HTML and text are not empty, and the HTML has markup."""
    for preview in check_source(template_files.read_template(ROOT, slug)).previews.values():
        assert preview.subject
        assert "</" in preview.html
        assert preview.text.strip()
        assert "<" not in preview.text.replace("<http", "")
