"""Runs the client generators, which `make` installs in their own environment."""

import os
import subprocess
from pathlib import Path

import pytest

from support.document_blocks import ROOT

TOOLS = ROOT / ".venv" / "openapi"


def require_generators() -> None:
    """Skip the test if the generators are not installed; `make test` installs them."""
    if not (TOOLS / "installed").exists():
        pytest.skip("the generators of clients are not installed: run `make .venv/openapi/installed`")


def run_command(command: str, folder: Path, **variables: str) -> str:
    """Run a shell command with the generators and npm packages in its path; return its output."""
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(TOOLS / "node_modules")
    path = os.pathsep.join([str(TOOLS / "bin"), str(TOOLS / "node_modules" / ".bin"), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "npm_config_offline": "true", "npm_config_update_notifier": "false"} | variables
    ended = subprocess.run(
        ["bash", "-euc", command], cwd=folder, env=env, check=False, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr
