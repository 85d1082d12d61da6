"""Explanations of Python's errors where a template computes, compares, calls or loops.

They are written for people who do not program. `ANYTHING_ELSE` fits every other error: Python's text is never shown.
"""

import re

from notifier.template_language.undefined_errors import (
    ErrorExplanation,
    ErrorPlace,
    build_error_rows,
    name_type,
)

_PAIRS_ADVICE = "Write one name in front of “in”, or {% for name, value in order.items() %} to go through an object."


def _explain_operands(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    operator = match[1].split()[0]
    left, right = name_type(match[2]), name_type(match[3])
    advice = "Let the caller send a number, or make one with | int or | float."
    if operator == "+" and "text" in (left, right):
        advice = "Join texts with ~, and make a number of a text with | int or | float."
    return ErrorExplanation(f"“{operator}” cannot take {left} and {right}.", advice, operator)


def _explain_concatenation(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    return ErrorExplanation(
        f"“+” cannot take {name_type(match[1])} and {name_type(match[2])}.",
        "Join texts with ~, and make a number of a text with | int or | float.",
        "+",
    )


def _explain_sign(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    advice = "Let the caller send a number, or make one with | int or | float."
    return ErrorExplanation(f"“{match[1]}” cannot stand before {name_type(match[2])}.", advice, match[1])


def _explain_call(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    call = re.search(r"[\w.]+(?=\()", place.source)
    name = f"“{call[0]}”" if call else "this"
    return ErrorExplanation(
        f"{name} is {name_type(match[1])}, not a macro, and takes no brackets.",
        "Write the name alone, or import the macro that was meant.",
        call[0] if call else "",
    )


def _explain_loop(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    return ErrorExplanation(
        f"a loop needs a list, and this is {name_type(match[1])}.", "Loop over a variable that is a list.", "for"
    )


def _explain_in(match: re.Match[str], _: ErrorPlace) -> ErrorExplanation:
    return ErrorExplanation(
        f"“in” cannot look into {name_type(match[1])}.",
        "It looks for an item in a list, a name in an object, or a text in a text.",
        " in ",
    )


def _explain_digits(_: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    literal = _LONG_NUMBER.search(place.text)
    line = place.text.count("\n", 0, literal.start()) + 1 if literal else None
    return ErrorExplanation("this number has too many digits.", _SEND_RESULT, line=line)


_LONG_NUMBER = re.compile(r"[0-9_]{4301}")
"""Python reads no number with more digits than 4,300."""
_SEND_RESULT = "Let the caller send the result."
EXPRESSION_ERRORS = build_error_rows(
    (r"'(.+)' not supported between instances of '(\w+)' and '(\w+)'", _explain_operands),
    (r"unsupported operand type\(s\) for (.+): '(\w+)' and '(\w+)'", _explain_operands),
    (r"can only concatenate (str|list|tuple) \(not \"(\w+)\"\) to", _explain_concatenation),
    (r"bad operand type for unary (.): '(\w+)'", _explain_sign),
    (r"^'(\w+)' object is not callable$", _explain_call),
    (r"^'(\w+)' object is not iterable$", _explain_loop),
    (r"^argument of type '(\w+)' is not iterable$", _explain_in),
    (r"^'in <string>' requires string as left operand, not (\w+)", "“in” looks for text in a text only.",
        'Make text of it: ("" ~ number) in text.', " in "),
    (r"^cannot unpack non-iterable|^(?:too many|not enough) values to unpack",
        "this cannot be taken apart into so many names.", _PAIRS_ADVICE, ","),
    (r"argument after \*", "“*” needs a list behind it, and “**” an object.",
        "Write the values one by one."),
    (r"keyword argument repeated", "a name stands twice in brackets.", "Take one of them out.", "="),
    (r"unhashable type", "a list or an object cannot be a name.", "Names in an object are texts."),
    (r"division|modulo by zero|by zero", "this divides by zero.", "Ask with {% if %} first.", "/"),
    (r"Range too big", "range() counts to 100,000 at most.", "Loop over less.", "range"),
    (r"Exceeds the limit \(\d+ digits\)", _explain_digits),
    (r"too large|too big|name 'inf' is not", "this number is too large.", _SEND_RESULT),
    (r"^no items for cycling given", "loop.cycle() needs what it shows in turn.",
        'Write it so: loop.cycle("odd", "even").', "cycle"),
    (r"must have the 'recursive' marker", "only a recursive loop can be called.",
        "Write {% for item in items recursive %}.", "loop"),
    (r"cannot assign attribute on non-namespace", "a value of an object cannot be changed.",
        "Give the new value a name of its own: {% set total = … %}.", "set"),
    (r"too many levels of indentation", "too many tags stand within one another.",
        "Take the inner ones out into a macro."),
    (r"too many statically nested blocks", "too many loops stand within one another.",
        "Take the inner ones out into a macro."),
    (r"surrogates not allowed|codec can't",
        "there is half a character in this text, which no mail can carry.",
        "Look for \\ud… in the template, and write the character itself.", "\\u"),
)  # fmt: skip
"""Pattern of Python's message → explanation; the first match counts."""
UNKNOWN_ERROR = ErrorExplanation(
    "a value here is not of the kind that this line needs.",
    "Check each value on the line: is it text, a number, a list or an object, as it should be?",
)
UNKNOWN_SYNTAX_ERROR = ErrorExplanation(
    "this tag cannot be read.", "Check its spelling, its quotation marks and brackets.", "{%"
)
