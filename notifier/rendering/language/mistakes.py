"""What people get wrong when templates read values, with words for people who do not program.

A row is what the library says, as a pattern, and what is said instead.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

_OFFERED = {
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
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "an object",
    "NoneType": "nothing (null)",
}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a mistake was made, and what might have been meant."""

    text: str  # of the file
    line: int | None
    names: Sequence[str]  # of the mail's values
    filters: Collection[str]
    files: Mapping[str, str]

    @property
    def source(self) -> str:
        """The line itself."""
        lines = self.text.split("\n")
        return lines[self.line - 1] if self.line and self.line <= len(lines) else ""

    def like(self, name: str, known: Collection[str]) -> str:
        """A suggestion for a word that is not known."""
        turned = [other for other in known if sorted(other) == sorted(name)]
        near = turned or get_close_matches(name, [other for other in known if other != name], n=1)
        return f"Did you mean “{near[0]}”?" if near else ""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """What is said about a mistake."""

    message: str
    advice: str = ""
    near: str = ""  # the text on the line that is at fault
    line: int | None = None  # if it is another than the library's


Words = Callable[[re.Match[str], Place], Mistake]


def _no_filter(found: re.Match[str], place: Place) -> Mistake:
    name = found[1]
    if name in _OFFERED:
        return Mistake(message=f"“{name}” is not available.", advice=_OFFERED[name], near=name)
    advice = place.like(name, place.filters) or f"There are: {', '.join(sorted(place.filters))}."
    return Mistake(message=f"there is no filter “{name}”.", advice=advice, near=name)


def _no_test(found: re.Match[str], _: Place) -> Mistake:
    return Mistake(
        message=f"there is no test “is {found[1]}”.", advice="Write “is defined”, or compare with ==.", near=found[1]
    )


def _no_variable(found: re.Match[str], place: Place) -> Mistake:
    name = found[1]
    if name == "loop":
        return Mistake(message="“loop” is known inside {% for %} only.", advice="Move it into the loop.", near=name)
    return Mistake(message=f"there is no variable “{name}”.", advice=_meant(name, name, place), near=name)


def _meant(name: str, shown: str, place: Place) -> str:
    """What to do about a name that leads nowhere."""
    ask = f"Add it to the sample, or if callers may leave it out, ask first: {{% if {shown} is defined %}}."
    return place.like(name, place.names) or ask


def _no_attribute(found: re.Match[str], place: Place) -> Mistake:
    kind, name = found[1].removesuffix(" object"), found[2]
    path = re.search(r"[\w.\]\[]*\." + re.escape(name) + r"\b", place.source)
    shown = path[0] if path else name
    owner = shown.rpartition(".")[0] or "the value"
    if kind == "dict":
        message = f"“{owner}” has no “{name}”."
    else:
        message = f"“{owner}” is {_TYPES.get(kind, 'nothing (null)')}, and has no “{name}”."
    return Mistake(message=message, advice=_meant(name, shown, place), near=shown)


def _compared(found: re.Match[str], _: Place) -> Mistake:
    left, right = (_TYPES.get(found[n], found[n]) for n in (2, 3))
    return Mistake(
        message=f"“{found[1]}” cannot take {left} and {right}.",
        advice="Let the caller send a number, or make one with | int or | float.",
        near=found[1],
    )


def _joined(found: re.Match[str], _: Place) -> Mistake:
    return Mistake(
        message=f"“+” cannot take text and {_TYPES.get(found[1], found[1])}.",
        advice="Join texts with ~, and make a number of a text with | int or | float.",
        near="+",
    )


def _not_callable(found: re.Match[str], place: Place) -> Mistake:
    call = re.search(r"[\w.]+(?=\()", place.source)
    name = f"“{call[0]}”" if call else "this"
    return Mistake(
        message=f"{name} is {_TYPES.get(found[1], 'no macro')}, not a macro, and takes no brackets.",
        advice="Write the name alone, or import the macro that was meant.",
        near=call[0] if call else "",
    )


def _not_a_list(found: re.Match[str], _: Place) -> Mistake:
    return Mistake(
        message=f"a loop needs a list, and this is {_TYPES.get(found[1], found[1])}.",
        advice="Loop over a variable that is a list.",
        near="for",
    )


def _twice(found: re.Match[str], place: Place) -> Mistake:
    lines = [n for n, text in enumerate(place.text.splitlines(), 1) if re.search(rf"block\s+{found[1]}\b", text)]
    return Mistake(
        message=f"the block “{found[1]}” is there twice.",
        advice=f"Give one another name; the first is on line {lines[0]}." if lines else "Give one another name.",
        near=f"block {found[1]}",
    )


def _macro(found: re.Match[str], _: Place) -> Mistake:
    return Mistake(
        message=f"the macro “{found[1]}” takes {found[2]}.",
        advice="Compare with the brackets behind its name, where it is defined.",
        near=found[1],
    )


def _no_caller(found: re.Match[str], _: Place) -> Mistake:
    return Mistake(
        message=f"the macro “{found[1]}” does not show what stands in {{% call %}}.",
        advice="Write {{ caller() }} into the macro, or use it without {% call %}.",
        near="call",
    )


def _arguments(found: re.Match[str], _: Place) -> Mistake:
    name = found[1].removeprefix("do_").removeprefix("show_")
    return Mistake(message=f"“{name}” {found[2]}.", advice="Give in its brackets what it needs, no more.", near=name)


def said(message: str, advice: str, near: str = "") -> Words:
    """The same words whatever the details."""
    return lambda _, __: Mistake(message=message, advice=advice, near=near)


def row(pattern: str, words: Words) -> tuple[re.Pattern[str], Words]:
    """A line of the tables below."""
    return re.compile(pattern), words


READING = (
    row(r"No filter named '(\w+)'", _no_filter),
    row(r"No test named '(\w+)'", _no_test),
    row(r"block '(\w+)' defined twice", _twice),
    row(r"^'(\w+)' is undefined$", _no_variable),
    row(r"^'(.+?)' has no attribute '(\w+)'$", _no_attribute),
    row(r"'(.+)' not supported between instances of '(\w+)' and '(\w+)'", _compared),
    row(r"unsupported operand type\(s\) for (.+): '(\w+)' and '(\w+)'", _compared),
    row(r"can only concatenate str \(not \"(\w+)\"\) to str", _joined),
    row(r"^'(\w+)' object is not callable$", _not_callable),
    row(r"^'(\w+)' object is not iterable$", _not_a_list),
    row(r"^list object has no element (\d+)$", said("the list is shorter.", "Ask with {% if %} how long it is.")),
    row(r"division by zero", said("this divides by zero.", "Ask with {% if %} first.", "/")),
    row(r"^macro '(\w+)' was invoked with two values for the special caller", _no_caller),
    row(r"^macro '(\w+)' takes (.+)$", _macro),
    row(r"^(\w+)\(\) ((?:missing|takes|got).+)$", _arguments),
    row(r"Range too big", said("range() counts to 100,000 at most.", "Loop over less.", "range")),
)
"""What the library says → what is said instead; the first that fits."""

OWN_WORDS = (
    row(
        r"^the operator (\S+) is not",
        lambda found, _: Mistake(
            message=f"the operator {found[1]} is not available in templates.",
            advice="Let the caller send the result.",
            near=found[1],
        ),
    ),
    row(
        r"attribute '(\w+)' of",
        lambda found, _: Mistake(
            message=f"“{found[1]}” is not available in templates.",
            advice="A template reads the caller's values, and nothing behind them.",
            near=found[1],
        ),
    ),
    row(r"^(.+): (.+)$", lambda found, _: Mistake(message=f"{found[1]}.", advice=found[2])),
)
"""The same for what the sandbox refuses."""
