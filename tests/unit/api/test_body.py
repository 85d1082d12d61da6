"""How far a compressed body is inflated."""

import gzip

import pytest

from notifier.api.errors.problem_responses import BadRequestError
from notifier.api.request_reader import _GzipBody

LIMIT = 1000


def test_a_bomb_is_inflated_to_a_byte_over_the_limit() -> None:
    """Whatever a chunk would come to, no more than that is ever held."""
    body = _GzipBody(LIMIT)
    body.add(gzip.compress(bytes(64 * 1024 * 1024)))
    assert len(body.decoded) == LIMIT + 1


@pytest.mark.parametrize("size", [0, 1, 500, LIMIT])
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_body_within_the_limit_is_whole_in_whatever_pieces_it_comes(size: int, step: int) -> None:
    """Members, headers and checksums may be cut anywhere."""
    plain = bytes(range(256)) * 4
    packed = gzip.compress(plain[: size // 2]) + gzip.compress(plain[size // 2 : size])
    body = _GzipBody(LIMIT)
    for start in range(0, len(packed), step):
        body.add(packed[start : start + step])
    assert body.finish() == plain[:size]


def test_what_ends_too_soon_is_refused_at_its_end() -> None:
    """A member whose checksum is missing may be anything."""
    body = _GzipBody(LIMIT)
    body.add(gzip.compress(b"{}")[:-1])
    with pytest.raises(BadRequestError):
        body.finish()
