"""A running demo, on ports that the system chooses."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import notifier_process
from support.notifier_process import NotifierProcess


@contextmanager
def start_demo(folder: Path, data: Path | None = None) -> Iterator[dict[str, str]]:
    """Run a demo in the folder until the block ends, with a copy of this data: `api`, `inbox`, `smtp`, `key`, `folder`.

    Without data it migrates a database and checks all templates first.
    """
    if data is not None:
        shutil.copytree(data, folder, dirs_exist_ok=True)
    options = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0", "--data-dir", str(folder), "--json")
    env = notifier_process.without_coverage(notifier_process.build_environment(folder))
    with NotifierProcess("demo", *options, env=env) as running:
        yield running.wait_until_ready_json() | {"folder": str(folder)}
