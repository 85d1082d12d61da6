"""The size of the chaos tests: small in every test run, full where NOTIFIER_CHAOS is `long`.

NOTIFIER_CHAOS_SEED repeats a random run with the seed that it has printed.
"""

import os
import random
from typing import TypeVar

import pytest

_T = TypeVar("_T")
LONG = os.environ.get("NOTIFIER_CHAOS", "") == "long"
SEED = int(os.environ.get("NOTIFIER_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


def size(short: _T, long: _T) -> _T:
    """Return the short or the long value."""
    return long if LONG else short


long_only = pytest.mark.skipif(not LONG, reason="a variant of a shorter test, only where NOTIFIER_CHAOS is long")
