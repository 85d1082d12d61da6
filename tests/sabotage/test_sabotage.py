"""Each patch here breaks one promise in one line; the test that it names must then fail.

A patch begins with two lines, `Promise:` and `Test:`; `make chaos` tries all of them, `make test` the first.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.notifier_process import without_coverage

ROOT = Path(__file__).parents[2]
PATCHES = sorted(Path(__file__).parent.glob("*.patch"))
TRIED = PATCHES if os.environ.get("NOTIFIER_CHAOS") == "long" else PATCHES[:1]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "var", "*.pyc")
TESTS_FAILED = 1  # pytest's exit status; errors and no tests at all have others


def _said(patch: Path, word: str) -> str:
    match_ = re.search(rf"^{word}: (.+)$", patch.read_text(), re.MULTILINE)
    assert match_, f"{patch.name} has no line {word}:"
    return match_[1]


def _name(patch: Path) -> str:
    return patch.stem


@pytest.mark.parametrize("patch", PATCHES, ids=_name)
def test_the_patch_applies(patch: Path) -> None:
    """It is still about this code, changes one line, and names a promise and a test that exist."""
    lines = patch.read_text().splitlines()
    assert len([line for line in lines if re.match(r"-(?!--)", line)]) <= 1
    assert len([line for line in lines if re.match(r"\+(?!\+\+)", line)]) == 1
    assert _said(patch, "Promise")
    file, _, function = _said(patch, "Test").partition("::")
    assert f"def {function.partition('[')[0]}(" in (ROOT / file).read_text()
    subprocess.run(["git", "apply", "--check", str(patch)], cwd=ROOT, check=True)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("patch", TRIED, ids=_name)
def test_the_promise_is_tested(patch: Path, tmp_path: Path) -> None:
    """In a copy of the tree with the patch, the named test fails."""
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    subprocess.run(["git", "apply", str(patch)], cwd=copy, check=True)
    command = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", _said(patch, "Test"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = without_coverage(inherited) | {"PYTHONPATH": str(copy), "NOTIFIER_CHAOS": ""}
    ran = subprocess.run(command, check=False, cwd=copy, env=environment, capture_output=True, text=True)
    assert ran.returncode == TESTS_FAILED, f"{_said(patch, 'Promise')}: nothing noticed\n{ran.stdout[-3000:]}"
