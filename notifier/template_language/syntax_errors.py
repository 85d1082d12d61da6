"""Explanations of syntax errors in tags, for people who do not program."""

import re

from notifier.template_language.undefined_errors import ErrorExplanation, ErrorPlace, build_error_row, build_text_row

_TAG = re.compile(r"\{#.*?#\}|\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw|\{%[-+]?\s*(\w+)([^%]*)", re.DOTALL)
_PRINT = re.compile(r"\{#.*?#\}|\{\{(?P<inner>(?:(?!\}\}|\{\{|\{%).)*)(?P<end>\}\})?", re.DOTALL)
_OPENERS = frozenset({"for", "if", "block", "macro", "call", "filter", "set", "with"})
_TYPOGRAPHIC = re.compile("[\u2018-\u201f\u2039\u203a\xab\xbb]")


def _unclosed(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    """A block without its end: reported at the line where it begins, not where the file ends."""
    tag = match[1]
    begins = _last_open(place.text, tag)
    closing_tag = f"{{% end{tag} %}}"
    return ErrorExplanation(
        message=f"“{{% {tag} … %}}” is opened here and never closed.",
        advice=f"Write “{closing_tag}” where it ends.",
        near="{%",
        line=begins or place.line,
    )


def _last_open(text: str, tag: str) -> int | None:
    """The line of the innermost block of this kind that is open at the end, or before a wrong closing tag."""
    stack: list[tuple[str, int]] = []
    for match in _TAG.finditer(text):
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


def _unknown_tag(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    tag = match[1]
    inner = re.search(r"innermost block that needs to be closed is '(\w+)'", match.string)
    if inner:
        line = _last_open(place.text, inner[1])
        opened = f"“{{% {inner[1]} … %}}”" + (f" of line {line}" if line else "")
        return ErrorExplanation(
            message=f"“{{% {tag} %}}” stands here, but {opened} is still open.",
            advice=f"Write “{{% end{inner[1]} %}}” before it, or take it out.",
            near=_tag_text(place, tag),
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
    return ErrorExplanation(message=message, advice=advice, near=_tag_text(place, tag))


def _tag_text(place: ErrorPlace, tag: str) -> str:
    match = re.search(r"\{%[-+]?\s*" + re.escape(tag) + r"\b", place.source)
    return match[0] if match else tag


def _syntax(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation:
    """Something unexpected inside a tag; the usual causes first."""
    if place.line and (line := _open_print(place.text, place.line)):
        return ErrorExplanation(
            message="“{{” is never closed with “}}”.",
            advice="Write two braces on either side: {{ name }}.",
            near="{{",
            line=line,
        )
    return _usual(match, place) or _unexpected(match)


def _usual(match: re.Match[str], place: ErrorPlace) -> ErrorExplanation | None:
    """Mistakes of people who know other languages, or use a word processor."""
    if quote := _TYPOGRAPHIC.search(match.string):
        return ErrorExplanation(
            message=f"the quotation mark {quote[0]} is a typographic one.",
            advice="Inside {{ }} and {% %} use straight ones: \" or '.",
            near=quote[0],
        )
    if "got '='" in match.string and re.search(r"\{%[-+]?\s*(?:el)?if\b", place.source):
        return ErrorExplanation(
            message="one “=” does not compare.", advice="Write two: {% if a == b %}.", near=_lone_equals(place)
        )
    if "got 'if'" in match.string and "else" in place.source:
        return ErrorExplanation(
            message="“else if” is written in one word.", advice="Write {% elif … %}.", near="else if"
        )
    return None


def _unexpected(match: re.Match[str]) -> ErrorExplanation:
    got = match[1] if match.lastindex else ""
    if "expected token 'end of print statement'" in match.string and got:
        return ErrorExplanation(
            message=f"“{got}” is not expected here: {{{{ }}}} takes one value.",
            advice="Join names with a dot or _, filters with |, and text with ~.",
            near=got,
        )
    if "expected token 'in'" in match.string:
        return ErrorExplanation(
            message=f"a loop needs “in”, not “{got}”.", advice="Write {% for item in items %}.", near=got
        )
    if not got or got in ("end of template", "end of statement block"):
        message, near = "this tag ends too early, or is never closed.", "{%"
    else:
        message, near = f"“{got}” is not expected here.", got
    return ErrorExplanation(
        message=message, advice="Look at the tag's spelling, its quotation marks and brackets.", near=near
    )


def _open_print(text: str, line: int) -> int | None:
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


def _lone_equals(place: ErrorPlace) -> str:
    match = re.search(r"(?<![=!<>])=(?!=)", place.source)
    return place.source[match.start() : match.end() + 2].strip() if match else "="


SYNTAX_ERRORS = (
    build_error_row(r"Unexpected end of template\..*innermost block that needs to be closed is '(\w+)'", _unclosed),
    build_error_row(r"Encountered unknown tag '(\w+)'", _unknown_tag),
    build_text_row(r"Missing end of comment", "“{#” is never closed with “#}”.", "Write “#}” where it ends.", "{#"),
    build_text_row(r"Missing end of raw", "“{% raw %}” is never closed.", "Write “{% endraw %}” where it ends.", "{%"),
    build_text_row(
        r"^Block names in Jinja", "a block's name has no hyphens.", "Write _ instead: {% block side_bar %}.", "block"
    ),
    build_text_row(
        r"^Required blocks can only",
        "a block that has to be filled is empty itself.",
        "Take its text out, or “required”.",
        "required",
    ),
    build_text_row(
        r"^names starting with an underline", "what begins with _ cannot be imported.", "Give it another name."
    ),
    build_text_row(
        r"^non-default argument follows", "a value in brackets needs a fallback too.", 'Write label="".', "macro"
    ),
    build_text_row(
        r"^expected call$", "“{% call %}” needs a macro with brackets.", "Write {% call ui.box() %}.", "call"
    ),
    build_text_row(
        r"^can't assign to|special loop variable", "this name cannot be given a value.", "Choose another.", "{%"
    ),
    build_text_row(r"^extended multiple times", "a template extends one layout.", "Take the other out.", "{%"),
    build_text_row(
        r"non top-level scope", "“{% extends %}” stands within another tag.", "Write it alone, as the first line."
    ),
    build_text_row(r"chain multiple tests", "“is” cannot follow “is”.", "Join two questions with “and”.", " is "),
    build_text_row(
        r"^tag name expected", "a tag begins with its name.", "Write {% if … %}, or {{ name }} to show.", "{%"
    ),
    build_text_row(
        r"^expected (?:name or number|subscript)", "a name is missing behind a dot, or in brackets.", "Write it."
    ),
    build_text_row(
        r"escape$|^'?unicodeescape|illegal Unicode", "“\\” in a text is not complete.", "Write “\\\\”.", "\\"
    ),
    build_text_row(
        r'special "caller" argument', "“caller” needs a fallback here.", "Leave it out of the brackets.", "caller"
    ),
    build_error_row(r"got '(.*)'$", _syntax),
    build_error_row(r"^unexpected (?:char )?'(.+?)'", _syntax),
    build_error_row(r"^unexpected end of template", _syntax),
)
"""Pattern of the library's message → explanation; the first match counts."""
