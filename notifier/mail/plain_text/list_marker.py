"""What stands before a list item: a bullet, a number, a letter or a Roman numeral."""

from typing import Final

BULLET: Final = "* "
MAX_ROMAN: Final = 3999
_LETTERS: Final = 26
_KINDS: Final = {
    "a": "alpha", "lower-alpha": "alpha", "lower-latin": "alpha", "A": "ALPHA", "upper-alpha": "ALPHA",
    "upper-latin": "ALPHA", "i": "roman", "lower-roman": "roman", "I": "ROMAN", "upper-roman": "ROMAN",
}  # fmt: skip
_ROMAN: Final = (
    (1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
    (9, "ix"), (5, "v"), (4, "iv"), (1, "i"),
)  # fmt: skip


def format_list_marker(number: int, kind: str) -> str:
    """The marker of an item of `<ol>`; `kind` is the list's `type`, or its `list-style-type`."""
    name = _KINDS.get(kind, "")
    word = str(number)
    if name.lower() == "alpha" and number > 0:
        word = _format_letters(number)
    elif name.lower() == "roman" and 0 < number <= MAX_ROMAN:
        word = _format_roman(number)
    return f"{word.upper() if name.isupper() else word}. "


def _format_letters(number: int) -> str:
    word = ""
    while number:
        number, letter = divmod(number - 1, _LETTERS)
        word = chr(ord("a") + letter) + word
    return word


def _format_roman(number: int) -> str:
    word = ""
    for value, numeral in _ROMAN:
        count, number = divmod(number, value)
        word += numeral * count
    return word
