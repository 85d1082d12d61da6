"""What the files for operators contain: settings, command lines of `notifier`, and Kubernetes objects."""

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]

from support.document_blocks import ROOT

COMPOSE_FILES = (ROOT / "docker-compose.yml", ROOT / "deploy/compose/relay.yml")
MANIFESTS = tuple(ROOT / f"deploy/kubernetes/{name}.yaml" for name in ("config", "migrate", "api", "sender"))
UNITS = tuple(sorted((ROOT / "deploy/systemd").glob("*.service")))
DEPLOY_FILES = (
    ROOT / "Dockerfile",
    COMPOSE_FILES[0],
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
)
# At the start of a line, after a folder, or after `--` of kubectl.
_COMMAND = re.compile(r"(?:^ *|/bin/|-- )notifier((?: [a-z][a-z-]*)+(?: --[a-z][\w-]*)*)$", re.MULTILINE)
_SETTING = re.compile(r"\bNOTIFIER_[A-Z_]+[A-Z]\b")


class CommandLine(NamedTuple):
    """A command line of `notifier` without the program, and the file that contains it."""

    words: tuple[str, ...]
    file: str


def read_yaml(path: Path) -> list[dict[str, Any]]:
    """Read the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


@cache
def list_objects() -> list[dict[str, Any]]:
    """List all Kubernetes objects."""
    return [document for path in MANIFESTS for document in read_yaml(path)]


def list_pods() -> dict[str, dict[str, Any]]:
    """List the pod of each workload, by the workload's name."""
    return {
        thing["metadata"]["name"]: thing["spec"]["template"]["spec"]
        for thing in list_objects()
        if "template" in thing.get("spec", {})
    }


def list_settings() -> set[tuple[str, str]]:
    """List each `NOTIFIER_…` variable with the file that names it."""
    return {(name, path.name) for path in DEPLOY_FILES for name in _SETTING.findall(path.read_text())}


def list_command_lines() -> list[CommandLine]:
    """List the command lines: those in scripts, units and comments, and the lists of arguments."""
    lines = [CommandLine(tuple(words), path.name) for path, words in _list_arguments()]
    for path in DEPLOY_FILES:
        if path.suffix not in {".md", ".json", ".conf", ".yml"} or path in COMPOSE_FILES:
            lines += [CommandLine(tuple(words.split()), path.name) for words in _COMMAND.findall(path.read_text())]
    return lines


def _list_arguments() -> list[tuple[Path, list[str]]]:
    """List the arguments that containers give to the image's entry point."""
    found_in_image = re.search(r"^CMD \[(.+)\]$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found_in_image is not None
    arguments = [(ROOT / "Dockerfile", yaml.safe_load(f"[{found_in_image[1]}]"))]
    services = read_yaml(COMPOSE_FILES[0])[0]["services"].values()
    ours = [service for service in services if service["image"] == "notifier" and "entrypoint" not in service]
    arguments += [(COMPOSE_FILES[0], service["command"]) for service in ours]
    for pod in list_pods().values():
        arguments += [(MANIFESTS[0], box["args"]) for box in pod["containers"] if "command" not in box]
    return arguments
