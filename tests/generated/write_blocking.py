"""Writes `notifier/client/blocking.py`, the client without an event loop, from `awaiting.py`.

Run it after each change of `awaiting.py`: `.venv/bin/python tests/generated/write_blocking.py`.
tests/guards/test_client.py compares the two.
"""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "notifier" / "client"
HEADER = '''\
"""`Notifier`: the client for programs without an event loop. Threads may share one; forked processes may not.

Generated from `awaiting.py` by tests/generated/write_blocking.py: change that file instead.
"""
'''
REPLACEMENTS = (
    (r'\A""".*?"""\n', HEADER),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bCoroutine\[Any, Any, (\w+)\]", r"\1"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\b(__)?a(close|enter__|exit__|read|iter_lines)\b", r"\1\2"),
    (r"for (\w+) in (.+):\n +yield \1\n", r"yield from \2\n"),
)
"""Patterns, and what stands in the blocking client instead, in this order."""


def generate_blocking(awaiting: str) -> str:
    """Return the source of the blocking client, sorted and formatted by ruff."""
    text = awaiting
    for pattern, replacement in REPLACEMENTS:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL if pattern.startswith(r"\A") else 0)
    return _run_ruff(_run_ruff(text, "check", "--select=I,F401", "--fix-only", "--quiet"), "format", "--quiet")


def _run_ruff(text: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, f"--stdin-filename={CLIENT / 'blocking.py'}", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    (CLIENT / "blocking.py").write_text(generate_blocking((CLIENT / "awaiting.py").read_text()))
