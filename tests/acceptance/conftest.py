"""The data of a demo, from which others start."""

from pathlib import Path

import pytest
from support import running_demo


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a demo that was started and stopped once."""
    folder = tmp_path_factory.mktemp("demo-data")
    with running_demo.start_demo(folder):
        return folder
