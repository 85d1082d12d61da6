"""The short form of `make bench`: it runs from end to end and prints every table. Its figures decide nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_short_form_prints_every_figure() -> None:
    """POST on both databases, the drain of a sender against its limit, and the latency, each with its ratio."""
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert ran.returncode == 0, ran.stderr
    for words in ("POST, postgresql", "POST, sqlite", "POST ÷ no-op", "sender ÷ limit", "latency from POST"):
        assert words in ran.stdout
