"""A folder with the client, its libraries and nothing else of Notifier's, and a Python that sees only this folder."""

import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

CLIENT_LIBRARIES = ("httpx2", "standardwebhooks")


def list_with_requirements(names: Iterable[str]) -> set[str]:
    """List the distributions and their requirements, without extras."""
    distributions: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in distributions:
            distributions.add(name)
            needs = [Requirement(text) for text in metadata.requires(name) or []]
            waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return distributions


def list_installed_paths(name: str) -> set[Path]:
    """List the files and folders of a distribution at the top of the folder where it is installed."""
    distribution = metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or [] if file.parts[0] not in {"..", "__pycache__"}}
    return {Path(str(distribution.locate_file(top))) for top in tops}


def link_distributions(folder: Path, names: Iterable[str]) -> None:
    """Link what these distributions and their requirements have installed into a folder."""
    folder.mkdir(exist_ok=True)
    for name in list_with_requirements(names):
        for path in list_installed_paths(name):
            if not (folder / path.name).exists():
                (folder / path.name).symlink_to(path)


def run_alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python that sees only its standard library and the folder, with warnings as errors."""
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); exec(sys.argv.pop(1))"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", program, str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
