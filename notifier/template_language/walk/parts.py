"""Walks through all parts of a version, in all its locales, and collects what they do with variables."""

from collections.abc import Sequence
from operator import attrgetter

from notifier.template_language.image_functions import IMAGE_FUNCTIONS
from notifier.template_language.link_address import list_link_schemes
from notifier.template_language.sandbox import create_environment
from notifier.template_language.template_source import HTML, LOCALES, PARTS, RESERVED_NAMES, TemplateSource
from notifier.template_language.template_walk import Walk
from notifier.template_language.value_check import ValueCheck
from notifier.template_language.variable_place import LostError, Scope, VariableRead
from notifier.template_language.variable_schema import build_schema


def walked(source: TemplateSource, parts: Sequence[str] = PARTS) -> tuple[list[VariableRead], bool, list[ValueCheck]]:
    """Every read in these parts, whether none was missed, and what values must be. Raises `TemplateSyntaxError`."""
    env, rich = (create_environment(source.files, autoescape=html) for html in (False, True))
    given = RESERVED_NAMES | ((IMAGE_FUNCTIONS | env.globals.keys()) - source.sample.keys())
    walk = Walk(shape=build_schema(source.sample), given=given, env=env, rich=rich, files=source.files)
    walk.schemes = list(list_link_schemes(source.settings.link_schemes))
    prefixes = ["", *(f"{LOCALES}{tag}/" for tag in source.locales)]
    names = [f"{prefix}{part}" for prefix in prefixes for part in parts if f"{prefix}{part}" in source.files]
    for name in names:
        walk.parsed(name)
    try:
        for name in names:
            walk.is_html = name.endswith(HTML)
            walk.template(name, Scope())
        all_seen = True
    except (LostError, RecursionError):
        all_seen = False
    return sorted(walk.reads, key=attrgetter("file", "line", "path")), all_seen, list(walk.checks.values())
