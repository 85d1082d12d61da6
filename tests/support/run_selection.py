"""Which tests are left out of a short run: a test with many values runs with each in one setting, and in all settings.

The settings are the two databases and the two event loops. A test without values of its own runs in both, but for those
that start processes: they take turns within their file.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

PROCESSES = "tests/acceptance/"
PAIRS = (("sqlite", "postgresql"), ("asyncio", "uvloop"))


def list_left_out(names: Sequence[str]) -> set[str]:
    """Of the tests with these names, such as `test[sqlite-a]`, those that another of them stands for."""
    return {name for pair in PAIRS for name in _left_out(names, pair)}


def _left_out(names: Sequence[str], pair: tuple[str, str]) -> set[str]:
    token = re.compile(rf"(?<=[\[-])({'|'.join(pair)})(?=[\]-])")
    found: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))  # test, values, setting: name
    for name in names:
        test, _, rest = name.partition("[")
        where = token.search(f"[{rest}")
        if where is not None:
            values = token.sub("*", f"[{rest}", count=1)
            file, _, function = test.partition("::")
            one, value = (file, function + values) if file.startswith(PROCESSES) else (test, values)
            found[one][value][where[0]] = name
    out = set()
    for by_values in found.values():
        if len(by_values) > 1:
            for number, by_setting in enumerate(by_values.values()):
                if len(by_setting) == len(pair):
                    out.add(by_setting[pair[number % 2]])
    return out
