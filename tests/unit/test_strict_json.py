"""Reading JSON strictly, and the one text by which two bodies are compared."""

import gzip
import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier import strict_json
from notifier.strict_json import MalformedJsonError

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
_SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT
)
VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4))

MALFORMED = {
    "empty": b"",
    "white space": b" ",
    "truncated": b'{"a": 1',
    "something behind": b"{} {}",
    "single quotes": b"{'a': 1}",
    "trailing comma": b"[1,]",
    "leading zero": b"[01]",
    "plus sign": b"[+1]",
    "invalid UTF-8": b'"\xff"',
    "overlong UTF-8": b'"\xc0\xaf"',
    "UTF-16": '"a"'.encode("utf-16"),
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf1",
    "byte order mark further in": b"[\xef\xbb\xbf1]",
    "byte order mark alone": b"\xef\xbb\xbf",
    "surrogate as UTF-8": b'"\xed\xa0\x80"',
    "lone high surrogate": rb'"\ud800"',
    "lone low surrogate": rb'"\udc00"',
    "surrogates the wrong way round": rb'"\ude00\ud83d"',
    "lone surrogate in a key": rb'{"\ud800": 1}',
    "duplicate key": b'{"a": 1, "a": 1}',
    "duplicate key inside": b'[{"b": {"a": 1, "a": 2}}]',
    "duplicate key by escape": rb'{"a": 1, "\u0061": 2}',
    "NaN": b"NaN",
    "Infinity": b'{"a": Infinity}',
    "-Infinity": b"[-Infinity]",
    "infinite by overflow": b"[1e400]",
    "negative infinite by overflow": b"-1e400",
    "over 2^63": str(2**63 + 1).encode(),
    "under -2^63": str(-(2**63) - 1).encode(),
    "100,000 digits": b"9" * 100_000,
    "NUL": rb'"\u0000"',
    "NUL in a key": rb'{"\u0000": 1}',
    "raw NUL": b'"\x00"',
    "raw line break": b'"\n"',
    "65 deep": b"[" * 65 + b"]" * 65,
    "10,000 lists deep": b"[" * 10_000 + b"]" * 10_000,
    "10,000 objects deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "1,000,000 never closed": b"[" * 1_000_000,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_malformed_json_is_refused(body: bytes) -> None:
    """What is no JSON, or could be read in two ways, or stored nowhere, is `MalformedJsonError` and nothing else."""
    with pytest.raises(MalformedJsonError) as refused:
        strict_json.parse_json(body)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b" [1, 2.5, null, true] \r\n", [1, 2.5, None, True]),
        (rb'"\ud83d\ude00"', "😀"),
        (rb'"\u0085\u2028"', "\x85\u2028"),
        (b'{"a": {"a": {"a": 1}}}', {"a": {"a": {"a": 1}}}),
        (b'{"a": 1, "A": 2}', {"a": 1, "A": 2}),
        (str(2**63).encode(), 2**63),
        (str(-(2**63)).encode(), -(2**63)),
        (b"1e-400", 0.0),
        (b"[" * 63 + b"]" * 63, None),
    ],
    ids=[
        "scalars",
        "surrogate pair",
        "separators",
        "same key at other levels",
        "case",
        "2^63",
        "-2^63",
        "tiny",
        "63 deep",
    ],
)
def test_the_edges_of_what_is_allowed(body: bytes, value: Any) -> None:
    """Just inside each limit a body is read as any parser would read it."""
    assert strict_json.parse_json(body) == (value if value is not None else json.loads(body))


@given(VALUES)
def test_every_json_value_is_read_back(value: Any) -> None:
    """What the standard library writes, escaped or not, is read as the same value; 2.0 is a fraction in a sample."""
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert repr(strict_json.parse_json(text.encode(), keep_fractions=True)) == repr(value)
        assert strict_json.parse_json(text.encode()) == json.loads(text, parse_float=strict_json.parse_number)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0dNaI-1e\x00 ', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """No body raises anything else, and what is read holds no NUL, no surrogate and no infinite number."""
    try:
        value = strict_json.parse_json(body)
    except MalformedJsonError:
        return
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in text
    assert text.encode()


def _reversed(value: Any) -> Any:
    """The same value, its objects written from behind."""
    if isinstance(value, dict):
        return {key: _reversed(inner) for key, inner in reversed(value.items())}
    if isinstance(value, list):
        return [_reversed(inner) for inner in value]
    return value


@given(VALUES)
def test_the_hash_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    """Two spellings of one value are one request."""
    assert strict_json.hash_canonical(_reversed(value)) == strict_json.hash_canonical(value)


@given(VALUES, VALUES)
def test_different_values_have_different_hashes(one: Any, other: Any) -> None:
    """Two requests that differ anywhere, also in the type of a number, are two."""
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (strict_json.hash_canonical(one) == strict_json.hash_canonical(other)) == same


def test_the_hash_is_that_of_the_shortest_text() -> None:
    """It is stored for days, so it must not change between releases."""
    text = '{"a":[1,2.5,"ü"],"b":{"c":null}}'
    assert strict_json.hash_canonical({"b": {"c": None}, "a": [1, 2.5, "ü"]}) == hashlib.sha256(text.encode()).digest()
    assert not math.isinf(strict_json.parse_json(b"1e308"))


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf1", b"\xef\xbb\xbf 1\n", b"\xef\xbb\xbf\r\n1"])
def test_a_byte_order_mark_at_the_beginning_is_ignored(body: bytes) -> None:
    """RFC 8259 §8.1 allows it."""
    assert strict_json.parse_json(body) == 1


TOLD = {
    "": "line 1, column 1: a value is expected, but the body ends here",
    "\ufeff": "line 1, column 1: a value is expected, but the body ends here",
    "\ufeff\ufeff{}": "line 1, column 1: a value is expected, but here is U+FEFF",
    "to=ada": "line 1, column 1: a value is expected, but here is t",
    "{'a': 1}": "line 1, column 2: a name in double quotes is expected, but here is '",
    '{"a": 1,}': "line 1, column 9: a name in double quotes is expected, but here is }",
    "[1,\n 2,]": "line 2, column 4: a value is expected, but here is ]",
    '{"a" 1}': "line 1, column 6: a colon is expected, but here is 1",
    "[1 2]": "line 1, column 4: a comma, or the end of the array or object, is expected, but here is 2",
    '{"a": 1': "line 1, column 8: a comma, or the end of the array or object, is expected, but the body ends here",
    '{"a":\n\n tru}': "line 3, column 2: a value is expected, but here is t",
    "\u00a0{}": "line 1, column 1: a value is expected, but here is U+00A0",
    '"abc': "line 1, column 1: a string begins that is not closed",
    '"a\nb"': "line 1, column 3: a string has a control character, which must be escaped",
    r'"\x"': "line 1, column 2: a backslash stands before a character that cannot be escaped",
    r'"\u12"': "line 1, column 3: \\u is not followed by four hexadecimal digits",
    "{} {}": "line 1, column 4: the value ends, and something follows",
}


@pytest.mark.parametrize("text", TOLD)
def test_what_is_wrong_is_said_with_its_place(text: str) -> None:
    """Line and column, what is expected there and what stands there; never the parser's own sentence."""
    with pytest.raises(MalformedJsonError) as told:
        strict_json.parse_json(text.encode())
    assert str(told.value) == TOLD[text]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('{"a": 1}'.encode("utf-16"), "UTF-16"),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16"),
        ('{"a": 1}'.encode("utf-16-be"), "UTF-16"),
        ('{"a": 1}'.encode("utf-32"), "UTF-32"),
        ('{"a": 1}'.encode("utf-32-be"), "UTF-32"),
        ('{"ä": 1}'.encode("latin-1"), "not UTF-8: byte 0xE4 at position 2"),
        (b'\xef\xbb\xbf"\xff"', "not UTF-8: byte 0xFF at position 1"),
        (gzip.compress(b"{}", mtime=0), "Content-Encoding: gzip"),
    ],
)
def test_another_encoding_is_named(body: bytes, told: str) -> None:
    """Whoever sent it learns what it is, and what JSON is sent in."""
    with pytest.raises(MalformedJsonError) as refused:
        strict_json.parse_json(body)
    assert told in str(refused.value)
