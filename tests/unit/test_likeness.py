"""The measure by which documents are compared with answers: it must not be one that everything meets."""

from typing import Any

import pytest
from support import answer_likeness
from support.answer_likeness import Ids

ONE, TWO = "01a1f92a-715d-7219-88c9-c31525ae3423", "01a20f35-efb0-7351-9573-f78657325968"


def _unlike(shown: str, real: Any) -> list[str]:
    return answer_likeness.find_differences(answer_likeness.parse_shown(shown), real, Ids())


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ('{"status": "sent"}', {"status": "sent", "reason": None}),
        ('{"a": [1, …], "b": …, …}', {"a": [1, 2, 3], "b": {"c": 1}}),
        ('{"reply": "Ok: queued…", "duration_ms": 3}', {"reply": "Ok: queued as 7", "duration_ms": 12}),
        (f'{{"id": "{ONE}", "again": "/x/{ONE}"}}', {"id": TWO, "again": f"/x/{TWO}"}),
        ('{"at": "2026-11-24T12:00:00Z"}', {"at": "2027-01-01T00:00:00.123456+00:00"}),
        ('["1795536000", "a, …"]', ["1795552014", "a, b"]),
    ],
)
def test_what_is_like_it(shown: str, real: Any) -> None:
    """More members, other ids and times, and anything for the dots."""
    assert _unlike(shown, real) == []


@pytest.mark.parametrize(
    ("shown", "real", "where"),
    [
        ('{"status": "sent"}', {"status": "queued"}, "/status"),
        ('{"status": "sent"}', {}, "/status"),
        ('{"a": {"b": null}}', {"a": {"b": 0}}, "/a/b"),
        ('{"code": 250}', {"code": 550}, "/code"),
        ('{"ok": true}', {"ok": 1}, "/ok"),
        ("[1, 2]", [1], ""),
        ("[1]", [1, 2], ""),
        ("[1, 2, …]", [1], ""),
        (f'["{ONE}"]', ["not an id"], "/0"),
        (f'["{ONE}", "{ONE}"]', [TWO, ONE], "/1"),
        ('["2026-11-24T12:00:00Z"]', ["2026-11-24"], "/0"),
        ('["a.b"]', ["a+b"], "/0"),
        ('{"a": {}}', {"a": []}, "/a"),
    ],
)
def test_what_is_unlike_it(shown: str, real: Any, where: str) -> None:
    """Another value, a type, a length, or a thing that two ids stand for: it is said where."""
    (found,) = _unlike(shown, real)
    assert found.split(" ")[0] == where
