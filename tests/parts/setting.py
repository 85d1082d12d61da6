"""Which tests are left out of a short run: a test with many values runs with each in one setting, and in all settings.

The settings are the two databases and the two event loops. A test without values of its own runs in both, but for those
that start processes: they take turns within their file.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

PROCESSES = "tests/acceptance/"
PAIRS = (("sqlite", "postgresql"), ("asyncio", "uvloop"))


def left_out(names: Sequence[str]) -> set[str]:
    """Of the tests with these names, such as `test[sqlite-a]`, those that another of them stands for."""
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
