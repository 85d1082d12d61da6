"""The files for operators name only settings, commands, metrics, ports and files that exist."""

import json
import re
from configparser import ConfigParser
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
import typer
from pydantic import BaseModel, SecretStr
from sqlalchemy import make_url
from support import deploy_files
from support.deploy_files import COMPOSE_FILES, CommandLine
from support.document_blocks import ROOT

from notifier.api.merges import upload
from notifier.cli.main import app
from notifier.settings import DEFAULT_DATABASE_CONNECTIONS, MIN_DATABASE_CONNECTIONS, Settings
from notifier.telemetry.metrics import REGISTRY

IMAGE_DIRECTORY = "/var/lib/notifier"
GRACE = Settings.model_fields["sender"].default.grace


def _list_settings(model: type[BaseModel], prefix: str = "NOTIFIER_") -> set[str]:
    """The variables of a group of settings; a secret may also be in a file."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names |= _list_settings(kind, f"{prefix}{name.upper()}__")
            continue
        variable = str(field.validation_alias or prefix + name.upper())
        names |= {variable, f"{variable}_FILE"} if SecretStr.__name__ in str(kind) else {variable}
    return names


def test_settings_exist() -> None:
    """Every variable is one of the settings, or names the file of a secret."""
    known = _list_settings(Settings)
    assert {(name, file) for name, file in deploy_files.list_settings() if name not in known} == set()


@pytest.mark.parametrize("line", sorted(set(deploy_files.list_command_lines())), ids=lambda line: " ".join(line.words))
def test_commands_are_accepted(line: CommandLine) -> None:
    """The command line knows every command, argument and option."""
    command, words = typer.main.get_command(app), list(line.words)
    while hasattr(command, "resolve_command"):
        context = command.make_context(command.name, words, resilient_parsing=True)
        _, command, words = command.resolve_command(context, words)
    assert command is not None
    command.make_context(command.name, words)


def test_compose_files_follow_the_specification() -> None:
    """Both Compose files are valid for the schema of the Compose specification."""
    schema = json.loads((ROOT / "tests/guards/compose-spec/compose-spec.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    for path in COMPOSE_FILES:
        assert [str(error) for error in validator.iter_errors(deploy_files.read_yaml(path)[0])] == []


def test_the_relay_file_changes_services_that_exist() -> None:
    """The services of the second Compose file are in the first, and every secret that is used is declared."""
    base, relay = (deploy_files.read_yaml(path)[0] for path in COMPOSE_FILES)
    assert relay["services"].keys() <= base["services"].keys()
    used = {name for service in relay["services"].values() for name in service.get("secrets", ())}
    assert used == relay["secrets"].keys()
    for service in base["services"].values():
        assert service.get("depends_on", {}).keys() <= base["services"].keys()


def test_profiles_leave_the_rest_as_it_is() -> None:
    """Without a profile there are the same services as before, and none of them needs one of a profile."""
    services = deploy_files.read_yaml(COMPOSE_FILES[0])[0]["services"]
    by_profile: dict[str, set[str]] = {}
    for name, service in services.items():
        (profile,) = service.get("profiles", [""])
        by_profile.setdefault(profile, set()).add(name)
        needed = service.get("depends_on", {}).keys()
        assert {other for other in needed if services[other].get("profiles", [profile]) != [profile]} == set()
    assert by_profile == {
        "": {"postgres", "migrate", "api", "sender", "inbox"},
        "fleet": {"pgbouncer", "fleet-api", "fleet-sender"},
        "celery": {"redis", "worker", "flower"},
        "mailpit": {"mailpit"},
        "mailhog": {"mailhog"},
    }


def test_the_fleet_goes_through_the_pooler() -> None:
    """API and three senders use the pooler, which has room for all of them and asks PostgreSQL for less."""
    services = deploy_files.read_yaml(COMPOSE_FILES[0])[0]["services"]
    api, sender = services["fleet-api"], services["fleet-sender"]
    for service in (api, sender):
        assert make_url(service["environment"]["NOTIFIER_DATABASE_URL"]).host == "pgbouncer"
    pooler = ConfigParser()
    pooler.read(ROOT / "deploy/compose/pgbouncer.ini")
    connections = int(sender["environment"]["NOTIFIER_DATABASE_CONNECTIONS"])
    assert connections >= MIN_DATABASE_CONNECTIONS
    assert sender["deploy"]["replicas"] == 3
    clients = DEFAULT_DATABASE_CONNECTIONS + 3 * connections
    assert int(pooler["pgbouncer"]["default_pool_size"]) < clients < int(pooler["pgbouncer"]["max_client_conn"])
    url = make_url(api["environment"]["NOTIFIER_DATABASE_URL"])
    users = (ROOT / "deploy/compose/pgbouncer-users.txt").read_text().split()
    assert users == [f'"{url.username}"', f'"{url.password}"']
    assert pooler["databases"].keys() == {url.database}


def test_the_worker_is_the_documented_command() -> None:
    """The containers of the profile run Celery's commands on our application, with the broker of the profile."""
    services = deploy_files.read_yaml(COMPOSE_FILES[0])[0]["services"]
    broker = urlsplit(services["worker"]["environment"]["NOTIFIER_CELERY__BROKER_URL"])
    assert broker.hostname in services
    assert services[broker.hostname]["profiles"] == ["celery"]
    for name in ("worker", "flower"):
        service = services[name]
        assert service["environment"]["NOTIFIER_CELERY__BROKER_URL"] == broker.geturl()
        assert [*service["entrypoint"], service["command"][0]] == ["celery", "--app", "notifier.celery", name]
        assert service["build"]["target"] == "celery"


def test_what_the_image_copies_is_in_its_context() -> None:
    """No file that the Dockerfile copies is ignored."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {name for names in copied for name in names.split()} == allowed
    assert [name for name in allowed if not (ROOT / name).exists()] == []


def test_the_image_has_a_numeric_user() -> None:
    """Kubernetes refuses a named user under runAsNonRoot; the pods use the number of the image."""
    user = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for pod in deploy_files.list_pods().values():
        security = pod["securityContext"]
        assert [(str(security["runAsUser"]), str(security["runAsGroup"]))] == user
        assert security["runAsNonRoot"]


def test_pods_are_restricted_and_stop_in_time() -> None:
    """Each container has a read-only root and no rights, and a pod outlives the grace of its sender."""
    for name, pod in deploy_files.list_pods().items():
        assert not pod["automountServiceAccountToken"]
        if name != "notifier-migrate":
            assert pod["terminationGracePeriodSeconds"] > GRACE + 5
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert not security["allowPrivilegeEscalation"]
            assert container["resources"]["limits"]["memory"]


def _list_volumes(pod: dict[str, Any]) -> set[str]:
    return {volume["name"] for volume in pod["volumes"]}


def test_references_between_objects_resolve() -> None:
    """Ports, volumes, config maps and selectors lead to something that exists."""
    objects = deploy_files.list_objects()
    by_kind = {(thing["kind"], thing["metadata"]["name"]): thing for thing in objects}
    labels = [
        thing["spec"]["template"]["metadata"]["labels"] for thing in objects if "template" in thing.get("spec", {})
    ]
    claimed = {"notifier-sender": {"data"}}
    for name, pod in deploy_files.list_pods().items():
        for container in pod["containers"]:
            ports = {port["name"] for port in container.get("ports", ())}
            probes = [value for key, value in container.items() if key.endswith("Probe")]
            assert {probe["httpGet"]["port"] for probe in probes} <= ports
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == _list_volumes(pod) | claimed.get(name, set())
            for source in container["envFrom"]:
                assert ("ConfigMap", source["configMapRef"]["name"]) in by_kind
    for (kind, _), thing in by_kind.items():
        if kind in {"Service", "PodDisruptionBudget"}:
            selector = thing["spec"]["selector"]
            assert selector.get("matchLabels", selector) in labels
    secrets = deploy_files.list_pods()["notifier-api"]["containers"][0]["volumeMounts"][-1]["mountPath"]
    config = by_kind["ConfigMap", "notifier"]["data"]
    assert {value.rpartition("/")[0] for name, value in config.items() if name.endswith("_FILE")} == {secrets}
    assert config["NOTIFIER_DATA_DIR"].startswith(f"{IMAGE_DIRECTORY}/")
    listed = deploy_files.read_yaml(ROOT / "deploy/kubernetes/kustomization.yaml")[0]["resources"]
    assert sorted(listed) == sorted(path.name for path in deploy_files.MANIFESTS)


@pytest.mark.parametrize("unit", deploy_files.UNITS, ids=lambda unit: unit.name)
def test_units_stop_in_time_and_name_their_credentials(unit: Any) -> None:
    """A unit with a sender outlives its grace, and each credential that a setting names is loaded."""
    text = unit.read_text()
    loaded = re.findall(r"^LoadCredential=([\w-]+):", text, re.MULTILINE)
    assert re.findall(r"=%d/([\w-]+)$", text, re.MULTILINE) == loaded
    if re.search(r"notifier (serve|sender)$", text, re.MULTILINE):
        stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
        assert stop is not None
        assert int(stop[1]) > GRACE + 5


def test_alerts_and_dashboard_name_metrics_that_exist() -> None:
    """Every metric of the alerts and the dashboard is in the catalogue, and gauges of the queue are not summed."""
    exported = {name for family in REGISTRY.collect() for name in (family.name, f"{family.name}_total")}
    for file in (ROOT / "deploy/prometheus").iterdir():
        text = file.read_text()
        named = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\bnotifier_\w+", text)}
        assert named - exported == set()
        assert not re.search(r"sum[^(]*\(\s*notifier_(due_age|outbox_entries|table_|database_bytes)", text)


def test_proxies_accept_the_largest_file() -> None:
    """Nginx and Caddy allow a merge's file with its form, and hide what is for the monitoring."""
    megabytes = upload.MAX_FILE_BYTES // 1024 // 1024
    nginx, caddy = ((ROOT / f"deploy/{name}").read_text() for name in ("nginx/notifier.conf", "caddy/Caddyfile"))
    assert f"client_max_body_size {megabytes + 1}m" in nginx
    assert f"max_size {megabytes + 1}MiB" in caddy
    for path in ("/metrics", "/readyz"):
        assert re.search(rf"location = {path} {{\s+return 404", nginx)
        assert re.search(rf"@inside path .*{path}\b", caddy)
