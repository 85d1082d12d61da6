"""One running demo for all documents and examples."""

from collections.abc import Iterator

import pytest
from support import notifier_process
from support.notifier_process import NotifierProcess


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running demo: `api`, `inbox`, `smtp`, `key`, and its data in `folder`."""
    folder = tmp_path_factory.mktemp("demo")
    ports = ("--port", "0", "--inbox-port", "0", "--smtp-port", "0")
    where = ("--data-dir", str(folder))
    with NotifierProcess(
        "demo",
        *ports,
        *where,
        "--json",
        env=notifier_process.without_coverage(notifier_process.build_environment(folder)),
    ) as running:
        yield running.wait_until_ready_json() | {"folder": str(folder)}
