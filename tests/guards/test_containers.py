"""Compose file and Dockerfile: no port is published to everybody, and every version is pinned."""

import re
import tomllib

from support.document_blocks import ROOT

COMPOSE, DOCKERFILE = ((ROOT / name).read_text() for name in ("docker-compose.yml", "Dockerfile"))
EXACT = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?")
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)((?: \\\n    --hash=\S+)+)", re.MULTILINE)


def _pins(lock: str) -> dict[str, list[str]]:
    return {name: rest for name, *rest in PIN.findall((ROOT / lock).read_text())}


def test_ports_are_published_on_loopback() -> None:
    """Ports are published on loopback only, so that a server does not expose mails or the API."""
    ports = re.findall(r'- "([\d.:]+)"', COMPOSE)
    assert len(ports) == COMPOSE.count("ports:") == 4
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_images_have_exact_versions() -> None:
    """Images have exact versions, because a tag may move to another program."""
    images = re.findall(r"^ +image: (\S+)$", COMPOSE, re.MULTILINE)
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert [image for image in [*images, *bases] if image != "notifier" and not EXACT.fullmatch(image)] == []
    assert len(set(bases)) == 1


def test_what_builds_the_wheel_is_pinned() -> None:
    """The build uses the versions and hashes of the development lock, and fetches nothing else."""
    pinned = _pins("requirements-build.lock")
    development = _pins("requirements-dev.lock")
    assert pinned == {name: development[name] for name in pinned}
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {re.split(r"[^a-z-]", name)[0] for name in required} <= pinned.keys()
    installs = re.findall(r"pip (install|wheel) ([^&\n]*)", DOCKERFILE)
    assert len(installs) == 4
    for verb, flags in installs:
        assert (
            "--require-hashes" in flags
            or "--no-index" in flags
            or (verb == "wheel" and "--no-build-isolation" in flags)
        )
