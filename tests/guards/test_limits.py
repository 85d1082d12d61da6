"""The table of limits in docs/security.md matches the code."""

import importlib
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "notifier"
_NAME = re.compile(r"^(MAX_[A-Z_]+|[A-Z_]+_LIMIT)(?:: [^=]+)? = ", re.MULTILINE)
_ROW = re.compile(r"^\| `([\w.]+\.[A-Z_]+)` \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)


def _limits() -> Iterator[tuple[str, str]]:
    """Each public limit of the package, `module.NAME`, and its value as the table shows it."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for name in _NAME.findall(path.read_text("utf-8")):
            value = getattr(importlib.import_module(f"notifier.{module}"), name)
            if isinstance(value, int | float | timedelta):
                yield f"{module}.{name}", _show(value)


def _show(value: float | timedelta) -> str:
    return f"{value.total_seconds():,.0f} s" if isinstance(value, timedelta) else f"{value:,}"


def test_every_limit_is_in_the_table() -> None:
    """Each limit is in the table with its value; new, removed or changed limits fail."""
    documented = dict(_ROW.findall((ROOT / "docs" / "security.md").read_text("utf-8")))
    assert documented == dict(_limits())
