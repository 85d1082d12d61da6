"""Explanations of errors about undefined names, files and macros, for people who do not program.

A row of a table is a pattern of the library's message and the explanation that replaces it.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

from notifier.template_language.template_values import VALUE_METHODS

_REPLACEMENTS = {
    "safe": "Variables are always escaped. Write the markup in the template, around the variable.",
    "attr": "Write the name behind a dot, as in {{ order.number }}.",
    "format": "Put the pieces behind each other, or use “money”, “number” or “date”.",
    "map": "Write a loop: {% for item in items %} … {% endfor %}.",
    "select": "Write a loop with a condition: {% for item in items if item.new %} … {% endfor %}.",
    "groupby": "Let the caller send the values in groups.",
    "currency": 'Use “money”: {{ 12.5 | money("EUR") }}.',
    "strftime": 'Use “date”: {{ day | date("long") }}.',
    "pluralize": 'Use “plural”: {{ n | plural("one item", "{n} items") }}.',
}
_TYPES = {
    "str": "text",
    "Markup": "text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "range": "a list",
    "dict": "an object",
    "NoneType": "nothing (null)",
    "None": "nothing (null)",
}


def name_type(name: str) -> str:
    """The kind of value behind a Python type's name."""
    return _TYPES.get(name, "a macro, a block or a function")


_PATH = r"\w+(?:\[[^\]\s]*\]|\.\w+)*?"
_MACRO = re.compile(r"\{%[-+]?\s*macro\s+(\w+)")


@dataclass(frozen=True, kw_only=True)
class ErrorPlace:
    """Where an error occurred, and the names that may have been meant."""

    text: str  # of the file
    line: int | None
    names: Sequence[str]  # of the mail's values
    filters: Collection[str]
    files: Mapping[str, str]

    @property
    def source(self) -> str:
        """The text of the line."""
        lines = self.text.split("\n")
        return lines[self.line - 1] if self.line and self.line <= len(lines) else ""

    @property
    def macros(self) -> list[str]:
        """The names of all macros in the files."""
        return [name for text in self.files.values() for name in _MACRO.findall(text)]

    def suggest_name(self, name: str, known: Collection[str]) -> str:
        """A suggestion for an unknown name, or an empty text."""
        permuted = [other for other in known if sorted(other) == sorted(name) and other != name]
        similar = permuted or get_close_matches(name, [other for other in known if other != name], n=1)
        return f"Did you mean “{similar[0]}”?" if similar else ""


@dataclass(frozen=True)
class ErrorExplanation:
    """The explanation of an error."""

    message: str
    advice: str = ""
    near: str = ""  # the text on the line that causes the error
    line: int | None = None  # if the cause is on another line than the library says


Explainer = Callable[[re.Match[str], ErrorPlace], ErrorExplanation]
ErrorRow = tuple[re.Pattern[str], Explainer]


def _explain_unknown_filter(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    name = match[1]
    if name in _REPLACEMENTS:
        return ErrorExplanation(f"“{name}” is not available.", _REPLACEMENTS[name], name)
    advice = place.suggest_name(name, place.filters) or f"There are: {', '.join(sorted(place.filters))}."
    return ErrorExplanation(f"there is no filter “{name}”.", advice, name)


def _explain_unknown_variable(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    name = match[1]
    if name == "loop":
        return ErrorExplanation("“loop” is known inside {% for %} only.", "Move it into the loop.", name)
    return ErrorExplanation(f"there is no variable “{name}”.", _advise_missing_name(name, name, place), name)


def _advise_missing_name(name: str, path: str, place: ErrorPlace) -> str:
    ask = f"Add it to the sample, or if callers may leave it out, ask first: {{% if {path} is defined %}}."
    return place.suggest_name(name, place.names) or ask


def _explain_missing_attribute(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    kind, name = match[1].removesuffix(" object").rpartition(".")[2], match[2]
    if name not in place.source:  # a value of the caller's was the name
        return _explain_missing_element(match, place)
    quoted = re.escape(name)
    path = re.search(rf"({_PATH})(?:\.{quoted}\b|\[\s*[\"']{quoted}[\"']\s*\])", place.source)
    owner, full_path = (path[1], f"{path[1]}.{name}") if path else ("the value", name)
    if kind in ("TemplateModule", "TemplateReference", "BlockReference", "Macro", "LoopContext", "function"):
        advice = place.suggest_name(name, place.macros) or "Look at its name where it is defined."
        return ErrorExplanation(f"“{owner}” has no “{name}”.", advice, full_path)
    message = (
        f"“{owner}” has no “{name}”." if kind == "dict" else f"“{owner}” is {name_type(kind)}, and has no “{name}”."
    )
    advice = _advise_missing_attribute(kind, name, full_path, place)
    return ErrorExplanation(message, advice, path[0] if path else name)


def _advise_missing_attribute(kind: str, name: str, full_path: str, place: ErrorPlace) -> str:
    owner = full_path.rpartition(".")[0] or "name"
    if kind == "dict" and name in VALUE_METHODS[dict]:
        return f"Add it to the sample, or write {owner}.{name}() for what is in the object."
    if kind != "dict" and name in _REPLACEMENTS:
        return _REPLACEMENTS[name]
    if kind != "dict" and name in place.filters:
        return f"To show it in another way write {{{{ {owner} | {name} }}}}."
    if kind in ("str", "Markup") and name in VALUE_METHODS[str]:
        return f"A function needs brackets: {owner}.{name}()."
    return _advise_missing_name(name, full_path, place)


def _explain_missing_element(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    kind = match[1].removesuffix(" object").rpartition(".")[2]
    if kind in ("list", "tuple"):
        return ErrorExplanation("the list is shorter.", "Ask with {% if %} how long it is.", "[")
    if kind in ("str", "Markup"):
        return ErrorExplanation("the text is shorter.", "Ask with {% if %} how long it is.", "[")
    what = "the object has nothing of that name" if kind == "dict" else f"{name_type(kind)} has no items"
    return ErrorExplanation(f"{what}.", "Look at the sample for what is in the brackets.", "[")


def _explain_missing_export(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    advice = place.suggest_name(match[1], place.macros) or "Look at its name where it is defined."
    return ErrorExplanation(f"the imported file has no “{match[1]}”.", advice, match[1])


def _explain_duplicate_block(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    lines = [n for n, text in enumerate(place.text.splitlines(), 1) if re.search(rf"block\s+{match[1]}\b", text)]
    return ErrorExplanation(
        f"the block “{match[1]}” is there twice.",
        f"Give one another name; the first is on line {lines[0]}." if lines else "Give one another name.",
        f"block {match[1]}",
    )


def _explain_macro_arguments(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    what = re.sub(r"'([^']*)'", r"“\1”", match[2].replace("argument(s)", "values").replace("keyword argument", "value"))
    return ErrorExplanation(
        f"the macro “{match[1]}” takes {what}.",
        "Compare with the brackets behind its name, where it is defined.",
        match[1],
    )


def build_error_rows(*rows: tuple[str, Explainer] | tuple[str, str, str] | tuple[str, str, str, str]) -> list[ErrorRow]:
    """Build a table; a row is a pattern of the library's message, and a function or texts (message, advice, near).

    In the texts `$1` and `$2` stand for the groups of the pattern.
    """
    return [
        (re.compile(pattern), first if callable(first) else partial(_fill_texts, (first, *others)))
        for pattern, first, *others in rows
    ]


def _fill_texts(texts: Sequence[str], match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    message, advice, *near = (re.sub(r"\$(\d)", lambda number: match[int(number[1])], text) for text in texts)
    return ErrorExplanation(message, advice, "".join(near))


UNDEFINED_ERRORS = build_error_rows(
    (r"^parameter '(\w+)' was not provided$", "the macro was not given “$1”.",
        'Give it where the macro is used, or a value in its place: {% macro name(label="") %}.', "$1"),
    (r"^No caller defined$", "“caller()” shows nothing here.",
        "Use the macro with {% call %}.", "caller"),
    (r"^there is no parent block called '(\w+)'",
        "“super()” has nothing to show: no layout has a block “$1”.",
        "Take it out, or look at the block's name.", "super"),
    (r"^Required block '(\w+)' not found$", "the block “$1” has to be filled.",
        "Write {% block $1 %} … {% endblock %} into the template.", "block $1"),
    (r"does not export the requested name '(\w+)'", _explain_missing_export),
    (r"^the inline if-expression on", "the “if” is not met, and there is no “else”.",
        'Write … else "".', "if"),
    (r"^No (?:first|last) item", "the list is empty.", "Ask first: {% if items %} … {% endif %}."),
    (r"^there is no (?:previous|next) item", "this item has no neighbour.",
        "Ask loop.first or loop.last.", "loop"),
    (r"No filter named '(\w+)'", _explain_unknown_filter),
    (r"No test named '(\w+)'", "there is no test “is $1”.",
        "Write “is defined”, or compare with ==.", "$1"),
    (r"block '(\w+)' defined twice", _explain_duplicate_block),
    (r"^'(\w+)' is undefined$", _explain_unknown_variable),
    (r"^'(.+?)' has no attribute '(\w+)'$", _explain_missing_attribute),
    (r"^(.+) has no element (.+)$", _explain_missing_element),
    (r"^macro '(\w+)' was invoked with two values for the special caller",
        "the macro “$1” does not show what stands in {% call %}.",
        "Write {{ caller() }} into the macro, or use it without {% call %}.", "call"),
    (r"^macro '(\w+)' takes (.+)$", _explain_macro_arguments),
)  # fmt: skip
"""Pattern of the library's message → explanation; the first match counts."""

SANDBOX_ERRORS = build_error_rows(
    (r"^the operator (\S+) is not", "the operator $1 is not available in templates.",
        "Let the caller send the result.", "$1"),
    (r"attribute '(\w+)' of", "“$1” is not available in templates.",
        "A template reads the caller's values, and nothing behind them.", "$1"),
    (r"^(.+): (.+)$", "$1.", "$2"),
)  # fmt: skip
"""The same for messages of the sandbox."""
