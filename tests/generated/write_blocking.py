"""Writes the client without an event loop, `blocking.py` and `blocking_groups.py`, from the one with an event loop.

Run it after each change of `awaiting.py` or `awaiting_groups.py`: `.venv/bin/python tests/generated/write_blocking.py`.
tests/guards/test_client.py compares them.
"""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "notifier" / "client"
HEADERS = {
    "blocking.py": "`Notifier`: the client without an event loop. Threads may share one; forked processes may not.",
    "blocking_groups.py": "The calls of `Notifier` by group: each method is made from a function that builds a call.",
}
"""The first line of each file that is written."""
REPLACEMENTS = (
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bawaiting(?=\b|_)", "blocking"),
    (r"\bCoroutine\[Any, Any, (\w+)\]", r"\1"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\basyncio\.to_thread\(([\w.]+), ", r"\1("),
    (r"\b(__)?a(close|enter__|exit__|read|iter_lines)\b", r"\1\2"),
    (r"for (\w+) in (.+):\n +yield \1\n", r"yield from \2\n"),
)
"""Patterns, and what stands in the blocking client instead, in this order."""


def generate_blocking(name: str) -> str:
    """Return the source of a file of the blocking client, sorted and formatted by ruff."""
    source = name.replace("blocking", "awaiting")
    body = re.sub(r'\A""".*?"""\n', "", (CLIENT / source).read_text(), flags=re.DOTALL)
    for pattern, replacement in REPLACEMENTS:
        body = re.sub(pattern, replacement, body)
    note = f"Generated from `{source}` by tests/generated/write_blocking.py: change that file instead."
    text = f'"""{HEADERS[name]}\n\n{note}\n"""\n{body}'
    return _run_ruff(_run_ruff(text, "check", "--select=I,F401", "--fix-only", "--quiet"), "format", "--quiet")


def _run_ruff(text: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, f"--stdin-filename={CLIENT / 'blocking.py'}", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    for file_name in HEADERS:
        (CLIENT / file_name).write_text(generate_blocking(file_name))
