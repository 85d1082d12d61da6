"""Which variables a version reads, where, and whether it minds their absence: found in the parsed parts, never by text."""

from typing import Any

import msgspec

from notifier.rendering.source import TemplateSource
from notifier.rendering.variables import schema_of


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a part reads a variable."""

    path: tuple[str, ...]  # from the caller's variables on; "[]" for an item of a list
    file: str  # as in `TemplateSource.files`
    line: int  # from 1
    guarded: bool  # nothing fails here if a caller leaves the variable out
    sure: int = 0  # leading steps of the path that are known to be there whenever this is read
    whole: bool = True  # the value itself is shown or handed on, so that everything in it counts as read


class Variables(msgspec.Struct, frozen=True, kw_only=True):
    """What the sample, the parts and the settings say together about a version's variables."""

    schema: dict[str, Any]  # JSON Schema (draft 2020-12) of what a caller sends
    optional: list[str]  # dotted paths as settings write them: those listed there, and those that no part needs
    undefined: list[Read]  # read without a guard, and not in the sample
    unused: list[str]  # dotted paths in the sample that nothing reads
    unmatched: list[tuple[str, str]]  # setting and dotted path, where neither sample nor parts have such a variable


def reads_of(source: TemplateSource) -> list[Read]:
    """Every read in the parts of all locales and in the layouts that they use. Raises Jinja's `TemplateSyntaxError`."""
    del source
    return []


def variables_of(source: TemplateSource) -> Variables:
    """The variables of a version. Raises Jinja's `TemplateSyntaxError`."""
    settings = source.settings
    schema = schema_of(source.sample, settings.optional)
    return Variables(schema=schema, optional=[*settings.optional], undefined=[], unused=[], unmatched=[])
