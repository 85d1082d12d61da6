"""Runs the client generators, which `make` installs into their own environment."""

import os
import subprocess
from pathlib import Path

import pytest

from support.document_blocks import ROOT

TOOLS = ROOT / ".venv" / "openapi"


def require_generators() -> None:
    """Skip the test if nobody has installed them; `make test` always does."""
    if not (TOOLS / "installed").exists():
        pytest.skip("the generators of clients are not installed: run `make .venv/openapi/installed`")


def run_command(command: str, folder: Path, **variables: str) -> str:
    """Run a line of shell in a folder that sees the generators and the npm packages; returns what it prints."""
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
