"""Explanations of the errors of Jinja and Python, for people who do not program: syntax, computing, calls and loops.

`UNKNOWN_ERROR` fits every other error: the text of the library is never shown.
"""

import re

from notifier.template_language.undefined_errors import (
    ErrorExplanation,
    ErrorPlace,
    build_error_rows,
    name_type,
)

_BLOCK_TAG = re.compile(r"\{#.*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw|\{%[-+]?\s*(\w+)([^%]*)", re.DOTALL)
_PRINT = re.compile(r"\{#.*?#\}|\{\{(?P<inner>(?:(?!\}\}|\{\{|\{%).)*)(?P<end>\}\})?", re.DOTALL)
_OPENERS = frozenset({"for", "if", "block", "macro", "call", "filter", "set", "with"})
_TYPOGRAPHIC = re.compile("[\u2018-\u201f\u2039\u203a\xab\xbb]")


def _explain_unclosed_block(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    """A block without its end: reported at the line where it begins, not where the file ends."""
    tag = match[1]
    begins = _find_open_block(place.text, tag)
    closing_tag = f"{{% end{tag} %}}"
    return ErrorExplanation(
        f"“{{% {tag} … %}}” is opened here and never closed.",
        f"Write “{closing_tag}” where it ends.",
        "{%",
        begins or place.line,
    )


def _find_open_block(text: str, tag: str) -> int | None:
    """The line of the innermost block of this kind that is open at the end, or before a wrong closing tag."""
    stack: list[tuple[str, int]] = []
    for match in _BLOCK_TAG.finditer(text):
        name = match[1]
        if not name:
            continue
        line = text.count("\n", 0, match.start()) + 1
        if name in _OPENERS and not (name == "set" and "=" in (match[2] or "")):
            stack.append((name, line))
        elif name.startswith("end") and stack:
            if stack[-1][0] != name.removeprefix("end"):
                break
            stack.pop()
    return next((line for name, line in reversed(stack) if name == tag), None)


def _explain_unknown_tag(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    tag = match[1]
    inner = re.search(r"innermost block that needs to be closed is '(\w+)'", match.string)
    if inner:
        line = _find_open_block(place.text, inner[1])
        opened = f"“{{% {inner[1]} … %}}”" + (f" of line {line}" if line else "")
        return ErrorExplanation(
            f"“{{% {tag} %}}” stands here, but {opened} is still open.",
            f"Write “{{% end{inner[1]} %}}” before it, or take it out.",
            _find_tag_text(place, tag),
        )
    if tag in ("elif", "else"):
        message, advice = f"“{{% {tag} %}}” stands outside any {{% if %}}.", "Write “{% if … %}” before it."
    elif tag.removeprefix("end") in _OPENERS and tag.startswith("end"):
        begin = tag.removeprefix("end")
        message = f"“{{% {tag} %}}” closes nothing: there is no open “{{% {begin} %}}”."
        advice = f"Take it out, or write “{{% {begin} … %}}” before it."
    else:
        message = f"“{tag}” is no tag of templates."
        known = _OPENERS | {"else", "elif", "extends", "include", "import", "from", *(f"end{o}" for o in _OPENERS)}
        advice = place.suggest_name(tag, known) or "To show a variable write {{ name }}."
    return ErrorExplanation(message, advice, _find_tag_text(place, tag))


def _find_tag_text(place: ErrorPlace, tag: str) -> str:
    match = re.search(r"\{%[-+]?\s*" + re.escape(tag) + r"\b", place.source)
    return match[0] if match else tag


def _explain_syntax(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    """Something unexpected inside a tag; the usual causes first."""
    if place.line and (line := _find_open_braces(place.text, place.line)):
        return ErrorExplanation(
            "“{{” is never closed with “}}”.", "Write two braces on either side: {{ name }}.", "{{", line
        )
    return _explain_usual_mistake(match, place) or _explain_unexpected(match)


def _explain_usual_mistake(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation | None:
    """Mistakes of people who know other languages, or who use a word processor."""
    if quote := _TYPOGRAPHIC.search(match.string):
        return ErrorExplanation(
            f"the quotation mark {quote[0]} is a typographic one.",
            "Inside {{ }} and {% %} use straight ones: \" or '.",
            quote[0],
        )
    if "got '='" in match.string and re.search(r"\{%[-+]?\s*(?:el)?if\b", place.source):
        return ErrorExplanation("one “=” does not compare.", "Write two: {% if a == b %}.", _find_lone_equals(place))
    if "got 'if'" in match.string and "else" in place.source:
        return ErrorExplanation("“else if” is written in one word.", "Write {% elif … %}.", "else if")
    return None


def _explain_unexpected(match: re.Match[str]) -> ErrorExplanation:
    got = match[1] if match.lastindex else ""
    if "expected token 'end of print statement'" in match.string and got:
        return ErrorExplanation(
            f"“{got}” is not expected here: {{{{ }}}} takes one value.",
            "Join names with a dot or _, filters with |, and text with ~.",
            got,
        )
    if "expected token 'in'" in match.string:
        return ErrorExplanation(f"a loop needs “in”, not “{got}”.", "Write {% for item in items %}.", got)
    if not got or got in ("end of template", "end of statement block"):
        message, near = "this tag ends too early, or is never closed.", "{%"
    else:
        message, near = f"“{got}” is not expected here.", got
    return ErrorExplanation(message, "Look at the tag's spelling, its quotation marks and brackets.", near)


def _find_open_braces(text: str, line: int) -> int | None:
    """The line, this or an earlier one, of a `{{` that meets another brace, a tag or the end before its `}}`."""
    for match in _PRINT.finditer(text):
        number = text.count("\n", 0, match.start()) + 1
        if number > line:
            return None
        inner = match["inner"]
        if inner is None:  # a comment
            continue
        if not match["end"] or ("\n" in inner and "<" in inner):
            return number
    return None


def _find_lone_equals(place: ErrorPlace) -> str:
    match = re.search(r"(?<![=!<>])=(?!=)", place.source)
    return place.source[match.start() : match.end() + 2].strip() if match else "="


SYNTAX_ERRORS = build_error_rows(
    (r"Unexpected end of template\..*innermost block that needs to be closed is '(\w+)'", _explain_unclosed_block),
    (r"Encountered unknown tag '(\w+)'", _explain_unknown_tag),
    (r"Missing end of comment", "“{#” is never closed with “#}”.", "Write “#}” where it ends.", "{#"),
    (r"Missing end of raw", "“{% raw %}” is never closed.", "Write “{% endraw %}” where it ends.", "{%"),
    (r"^Block names in Jinja", "a block's name has no hyphens.", "Write _ instead: {% block side_bar %}.", "block"),
    (
        r"^Required blocks can only",
        "a block that has to be filled is empty itself.",
        "Take its text out, or “required”.",
        "required",
    ),
    (r"^names starting with an underline", "what begins with _ cannot be imported.", "Give it another name."),
    (r"^non-default argument follows", "a value in brackets needs a fallback too.", 'Write label="".', "macro"),
    (r"^expected call$", "“{% call %}” needs a macro with brackets.", "Write {% call ui.box() %}.", "call"),
    (r"^can't assign to|special loop variable", "this name cannot be given a value.", "Choose another.", "{%"),
    (r"^extended multiple times", "a template extends one layout.", "Take the other out.", "{%"),
    (r"non top-level scope", "“{% extends %}” stands within another tag.", "Write it alone, as the first line."),
    (r"chain multiple tests", "“is” cannot follow “is”.", "Join two questions with “and”.", " is "),
    (r"^tag name expected", "a tag begins with its name.", "Write {% if … %}, or {{ name }} to show.", "{%"),
    (r"^expected (?:name or number|subscript)", "a name is missing behind a dot, or in brackets.", "Write it."),
    (r"escape$|^'?unicodeescape|illegal Unicode", "“\\” in a text is not complete.", "Write “\\\\”.", "\\"),
    (r'special "caller" argument', "“caller” needs a fallback here.", "Leave it out of the brackets.", "caller"),
    (r"got '(.*)'$", _explain_syntax),
    (r"^unexpected (?:char )?'(.+?)'", _explain_syntax),
    (r"^unexpected end of template", _explain_syntax),
)
"""Pattern of the library's message → explanation; the first match counts."""


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
