"""One running demo for all documents and examples."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import running_demo


@pytest.fixture(scope="session")
def demo(demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running demo: `api`, `inbox`, `smtp`, `key`, and its data in `folder`."""
    with running_demo.start_demo(tmp_path_factory.mktemp("demo"), demo_data) as demo:
        yield demo
