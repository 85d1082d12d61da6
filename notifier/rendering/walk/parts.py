"""Walks through all parts of a version, in all its locales, and collects what they do with variables."""

from collections.abc import Sequence
from operator import attrgetter

from notifier.rendering.images import FUNCTIONS
from notifier.rendering.language.link_address import all_link_schemes
from notifier.rendering.language.sandbox import environment
from notifier.rendering.source import HTML, LOCALES, PARTS, RESERVED, TemplateSource
from notifier.rendering.value_check import ValueCheck
from notifier.rendering.variables import schema_of
from notifier.rendering.walk.place import LostError, Read, Scope
from notifier.rendering.walk.statement import Walk


def walked(source: TemplateSource, parts: Sequence[str] = PARTS) -> tuple[list[Read], bool, list[ValueCheck]]:
    """Every read in these parts, whether none was missed, and what values must be. Raises `TemplateSyntaxError`."""
    env, rich = (environment(source.files, autoescape=html) for html in (False, True))
    given = RESERVED | ((FUNCTIONS | env.globals.keys()) - source.sample.keys())
    walk = Walk(shape=schema_of(source.sample), given=given, env=env, rich=rich, files=source.files)
    walk.schemes = list(all_link_schemes(source.settings.link_schemes))
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
