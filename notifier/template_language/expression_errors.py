"""Explanations of Python's errors where a template computes, compares, calls or loops.

They are written for people who do not program. `ANYTHING_ELSE` fits every other error: Python's text is never shown.
"""

import re

from notifier.template_language.undefined_errors import (
    ErrorExplanation,
    ErrorPlace,
    build_error_row,
    build_text_row,
    name_type,
)

_PAIRS = "Write one name in front of “in”, or {% for name, value in order.items() %} to go through an object."


def _operands(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    operator = match[1].split()[0]
    left, right = name_type(match[2]), name_type(match[3])
    advice = "Let the caller send a number, or make one with | int or | float."
    if operator == "+" and "text" in (left, right):
        advice = "Join texts with ~, and make a number of a text with | int or | float."
    return ErrorExplanation(message=f"“{operator}” cannot take {left} and {right}.", advice=advice, near=operator)


def _concatenated(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    return ErrorExplanation(
        message=f"“+” cannot take {name_type(match[1])} and {name_type(match[2])}.",
        advice="Join texts with ~, and make a number of a text with | int or | float.",
        near="+",
    )


def _sign(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    advice = "Let the caller send a number, or make one with | int or | float."
    return ErrorExplanation(
        message=f"“{match[1]}” cannot stand before {name_type(match[2])}.", advice=advice, near=match[1]
    )


def _not_callable(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    call = re.search(r"[\w.]+(?=\()", place.source)
    name = f"“{call[0]}”" if call else "this"
    return ErrorExplanation(
        message=f"{name} is {name_type(match[1])}, not a macro, and takes no brackets.",
        advice="Write the name alone, or import the macro that was meant.",
        near=call[0] if call else "",
    )


def _not_a_list(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    return ErrorExplanation(
        message=f"a loop needs a list, and this is {name_type(match[1])}.",
        advice="Loop over a variable that is a list.",
        near="for",
    )


def _not_in(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    return ErrorExplanation(
        message=f"“in” cannot look into {name_type(match[1])}.",
        advice="It looks for an item in a list, a name in an object, or a text in a text.",
        near=" in ",
    )


def _digits(_: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    literal = _LONG_NUMBER.search(place.text)
    line = place.text.count("\n", 0, literal.start()) + 1 if literal else None
    return ErrorExplanation(message="this number has too many digits.", advice=_SENT, line=line)


_LONG_NUMBER = re.compile(r"[0-9_]{4301}")
"""Python reads no number with more digits than 4,300."""
_SENT = "Let the caller send the result."
EXPRESSION_ERRORS = (
    build_error_row(r"'(.+)' not supported between instances of '(\w+)' and '(\w+)'", _operands),
    build_error_row(r"unsupported operand type\(s\) for (.+): '(\w+)' and '(\w+)'", _operands),
    build_error_row(r"can only concatenate (str|list|tuple) \(not \"(\w+)\"\) to", _concatenated),
    build_error_row(r"bad operand type for unary (.): '(\w+)'", _sign),
    build_error_row(r"^'(\w+)' object is not callable$", _not_callable),
    build_error_row(r"^'(\w+)' object is not iterable$", _not_a_list),
    build_error_row(r"^argument of type '(\w+)' is not iterable$", _not_in),
    build_text_row(r"^'in <string>' requires string as left operand, not (\w+)", "“in” looks for text in a text only.",
        'Make text of it: ("" ~ number) in text.', " in "),
    build_text_row(r"^cannot unpack non-iterable|^(?:too many|not enough) values to unpack",
        "this cannot be taken apart into so many names.", _PAIRS, ","),
    build_text_row(r"argument after \*", "“*” needs a list behind it, and “**” an object.",
        "Write the values one by one."),
    build_text_row(r"keyword argument repeated", "a name stands twice in brackets.", "Take one of them out.", "="),
    build_text_row(r"unhashable type", "a list or an object cannot be a name.", "Names in an object are texts."),
    build_text_row(r"division|modulo by zero|by zero", "this divides by zero.", "Ask with {% if %} first.", "/"),
    build_text_row(r"Range too big", "range() counts to 100,000 at most.", "Loop over less.", "range"),
    build_error_row(r"Exceeds the limit \(\d+ digits\)", _digits),
    build_text_row(r"too large|too big|name 'inf' is not", "this number is too large.", _SENT),
    build_text_row(r"^no items for cycling given", "loop.cycle() needs what it shows in turn.",
        'Write it so: loop.cycle("odd", "even").', "cycle"),
    build_text_row(r"must have the 'recursive' marker", "only a recursive loop can be called.",
        "Write {% for item in items recursive %}.", "loop"),
    build_text_row(r"cannot assign attribute on non-namespace", "a value of an object cannot be changed.",
        "Give the new value a name of its own: {% set total = … %}.", "set"),
    build_text_row(r"too many levels of indentation", "too many tags stand within one another.",
        "Take the inner ones out into a macro."),
    build_text_row(r"too many statically nested blocks", "too many loops stand within one another.",
        "Take the inner ones out into a macro."),
    build_text_row(r"surrogates not allowed|codec can't",
        "there is half a character in this text, which no mail can carry.",
        "Look for \\ud… in the template, and write the character itself.", "\\u"),
)  # fmt: skip
"""Pattern of Python's message → explanation; the first match counts."""
UNKNOWN_ERROR = ErrorExplanation(
    message="a value here is not of the kind that this line needs.",
    advice="Check each value on the line: is it text, a number, a list or an object, as it should be?",
)
UNKNOWN_SYNTAX_ERROR = ErrorExplanation(
    message="this tag cannot be read.", advice="Check its spelling, its quotation marks and brackets.", near="{%"
)
