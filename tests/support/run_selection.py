"""Selects the tests of a short run: each parameter value runs in one setting only.

The settings are the two databases and the two event loops. A test without values runs in both. Tests that start
processes alternate between the settings within their file.
"""

import os
import re
from collections import defaultdict
from collections.abc import Sequence

EVERYTHING = bool(os.environ.get("NOTIFIER_TEST_EVERYTHING"))
"""Set by `make coverage`: run each parameter value in every setting, and tests in their full size."""

PROCESSES = "tests/acceptance/"
PAIRS = (("sqlite", "postgresql"), ("asyncio", "uvloop"))


def list_left_out(names: Sequence[str]) -> set[str]:
    """List the tests, such as `test[sqlite-a]`, that a short run leaves out."""
    return {name for pair in PAIRS for name in _left_out(names, pair)}


def _left_out(names: Sequence[str], pair: tuple[str, str]) -> set[str]:
    token = re.compile(rf"(?<=[\[-])({'|'.join(pair)})(?=[\]-])")
    names_by_test: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))  # by test and values
    for name in names:
        test, _, rest = name.partition("[")
        where = token.search(f"[{rest}")
        if where is not None:
            values = token.sub("*", f"[{rest}", count=1)
            file, _, function = test.partition("::")
            group, value = (file, function + values) if file.startswith(PROCESSES) else (test, values)
            names_by_test[group][value][where[0]] = name
    out = set()
    for by_values in names_by_test.values():
        if len(by_values) > 1:
            for number, by_setting in enumerate(by_values.values()):
                if len(by_setting) == len(pair):
                    out.add(by_setting[pair[number % 2]])
    return out
