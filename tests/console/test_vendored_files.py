"""The files of others that pages load are those that their README names."""

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "notifier" / "console" / "static" / "vendor"


def test_each_vendored_file_has_the_sum_of_its_row() -> None:
    """Each script has a row with its version and licence, and the SHA-256 of the file."""
    rows = dict(
        re.findall(r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE)
    )
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}
    assert sums == rows
    assert len(rows) >= 2
