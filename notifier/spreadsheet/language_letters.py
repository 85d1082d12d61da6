"""Which encoding of eight bits makes sense of a text: one in which its letters are those of one language.

The same bytes are letters in all of these encodings, so a wrong one shows by the letters alone: "Dvoøák" is no word of
any language, "Dvořák" is. For texts of Western and Central Europe this is safer than the statistics of
charset-normalizer, which took German for cp1250 and Polish for cp1252.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

MAX_FOREIGN_SHARE = 0.7
"""Letters beyond ASCII among all letters of the words that have such letters: more is no Latin text."""

_WESTERN = (
    "äöüßéèëáóàç",  # German, with the names of neighbours
    "àâæçèéêëîïôœùûüö",  # French
    "áéíóúüñçàèòïºª",  # Spanish, Catalan
    "áàâãçéêíóôõúüºª",  # Portuguese
    "àèéìíîòóùú",  # Italian
    "åäöæøéü",  # Danish, Norwegian, Swedish, Finnish
    "áéëïíöóüúèêàç",  # Dutch
    "áðéíóúýþæö",  # Icelandic
)
_CENTRAL = (
    "ąćęłńóśźż",  # Polish
    "áčďéěíňóřšťúůýž",  # Czech
    "áäčďéíĺľňóôŕšťúýž",  # Slovak
    "áéíóöőúüű",  # Hungarian
    "čšžćđ",  # Slovene, Croatian
    "ăâîşţ",  # Romanian
)
_TURKISH = ("çğıöşüâîû",)
_CANDIDATES: tuple[tuple[str, Sequence[str]], ...] = (
    ("cp1252", _WESTERN),
    ("iso-8859-15", _WESTERN),
    ("cp1250", _CENTRAL),
    ("iso-8859-2", _CENTRAL),
    ("cp1254", _TURKISH),
    ("cp850", _WESTERN),
    ("mac-roman", _WESTERN),
)
_WORDS = re.compile(r"[^\W\d_]+")
_PUNCTUATION = frozenset("€‚„…‹›‘’“”•–—™\N{NO-BREAK SPACE}¡§©«®°²³´µ·»¿£½¼¾\N{SOFT HYPHEN}×")  # noqa: RUF001
_LETTER = r"[^\W\d_]"
_MISPLACED = re.compile(
    rf"{_LETTER}[‚„‹›“”•™¡¿«»®©§µ¼½¾×²³£€]{_LETTER}"  # noqa: RUF001 - within a word
    rf"|[£²³¼½¾]{_LETTER}"
    rf"|{_LETTER}[§£¿¡]"  # behind a word
    r"|õ(?!e)"  # Portuguese has it in "Simões"; else it is the "ő" of Hungarian
    r"|iæ"  # the "ić" of Croatian names
)
_DASH_WITHIN_WORD = re.compile(rf"{_LETTER}[\u2013\u2014]({_LETTER})")  # a capital may follow, as in a route


def detect_by_letters(sample: bytes) -> str | None:
    """Detect the encoding of a sample of Latin text, as Python names it; None if none of them makes sense of it."""
    for encoding, languages in _CANDIDATES:
        text = _decode(sample, encoding)
        if text is not None and _is_one_language(text, languages):
            return encoding
    # A list with names of several Western languages.
    text = _decode(sample, "cp1252")
    return "cp1252" if text is not None and _is_one_language(text, ["".join(_WESTERN[:-1])]) else None


def _decode(sample: bytes, encoding: str) -> str | None:
    try:
        return sample.decode(encoding)
    except UnicodeDecodeError:
        return None


def _is_one_language(text: str, languages: Sequence[str]) -> bool:
    beyond = {letter for letter in text if not letter.isascii()}
    letters = {letter for letter in beyond if unicodedata.category(letter) in {"Lu", "Ll"}}
    ordinals = beyond & set("ºª")
    if beyond - letters - ordinals - _PUNCTUATION:
        return False
    lower = {letter.lower() for letter in letters - {"İ"}} | ordinals  # in lower case, İ has a letter of ASCII
    return any(lower <= set(language) for language in languages) and _has_plausible_words(text)


def _has_plausible_words(text: str) -> bool:
    """True if capitals and signs stand where texts have them, and most letters are those of ASCII."""
    words = [word for word in _WORDS.findall(text) if not word.isascii()]
    foreign = sum(not letter.isascii() for word in words for letter in word)
    if foreign > MAX_FOREIGN_SHARE * sum(map(len, words)):
        return False
    pairs = (pair for word in words for pair in pairwise(word))
    if any(before.islower() and after.isupper() and not after.isascii() for before, after in pairs):
        return False
    dashes = any(match.group(1).islower() for match in _DASH_WITHIN_WORD.finditer(text))
    return not dashes and _MISPLACED.search(text) is None
