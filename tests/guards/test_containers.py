"""Compose file and Dockerfile: no port is published to everybody, and every version is pinned."""

import re
import tomllib

from support.document_blocks import ROOT

COMPOSE, DOCKERFILE = ((ROOT / name).read_text() for name in ("docker-compose.yml", "Dockerfile"))
EXACT = re.compile(r"[\w./-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+\d*)?")
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)((?: \\\n    --hash=\S+)+)", re.MULTILINE)


def _pins(lock: str) -> dict[str, list[str]]:
    return {name: rest for name, *rest in PIN.findall((ROOT / lock).read_text())}


def _list_stages() -> set[str]:
    return set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))


def test_ports_are_published_on_loopback() -> None:
    """Ports are published on loopback only, so that a server does not expose mails or the API."""
    ports = re.findall(r'- "([\d.:]+)"', COMPOSE)
    assert len(ports) == COMPOSE.count("ports:") == 6
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_images_have_exact_versions() -> None:
    """Images have exact versions, because a tag may move to another program."""
    images = re.findall(r"^ +image: (\S+)$", COMPOSE, re.MULTILINE)
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - _list_stages()
    ours = {"notifier", "notifier-celery"}
    assert [image for image in {*images, *bases} - ours if not EXACT.fullmatch(image)] == []
    assert len(bases) == 1


def test_the_last_stage_is_without_celery() -> None:
    """The image that is built by default has nothing of the image for Celery workers."""
    origins: dict[str, set[str]] = {}
    for stage in re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]:
        name = re.match(r"FROM \S+(?: AS (\S+))?", stage)
        assert name is not None
        used = set(re.findall(r"^FROM (\S+)|--from=(\S+)", stage, re.MULTILINE))
        stages = {one for pair in used for one in pair} & origins.keys()
        origins[name[1] or "last"] = stages.union(*(origins[one] for one in stages))
    assert origins["last"] == {"build", "runtime"}
    assert "build-celery" in origins["celery"]
    assert COMPOSE.count("target: celery") == 1


def test_the_worker_runs_the_tested_celery() -> None:
    """The image for workers changes no version of what Notifier runs, and has the Celery of the tests."""
    extra, tested = _pins("requirements-celery.lock"), _pins("requirements-dev.lock")
    assert {name: rest for name, rest in extra.items() if name in tested and rest != tested[name]} == {}
    assert {"celery", "redis"} <= extra.keys() & tested.keys()


def test_what_builds_the_wheel_is_pinned() -> None:
    """The build uses the versions and hashes of the development lock, and fetches nothing else."""
    pinned = _pins("requirements-build.lock")
    development = _pins("requirements-dev.lock")
    assert pinned == {name: development[name] for name in pinned}
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert {re.split(r"[^a-z-]", name)[0] for name in required} <= pinned.keys()
    installs = re.findall(r"pip (install|wheel) ([^&\n]*)", DOCKERFILE)
    assert len(installs) == 5
    for verb, flags in installs:
        assert (
            "--require-hashes" in flags
            or "--no-index" in flags
            or (verb == "wheel" and "--no-build-isolation" in flags)
        )
