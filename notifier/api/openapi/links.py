"""Adds links to the OpenAPI document: from an answer with an id to every operation on that object.

They follow from the paths: the operations on an object are below the path under which it was created or listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_CREATING_PREFIXES = ("submit_notification", "add_", "create_", "rotate_key")


@dataclass(frozen=True)
class _LinkSource:
    """The place of an id in an answer, and the path below which its operations are."""

    operation: str
    status: str
    pointer: str
    place: str


_DELIVERIES_PATH = "/v1/webhooks/{webhook_id}/deliveries"
_LINK_SOURCES = (
    _LinkSource("submit_batch", "202", "/batch_id", "/v1/batches"),
    _LinkSource("submit_batch", "202", "/results/0/id", "/v1/notifications"),
    _LinkSource("list_notifications", "200", "/notifications/0/id", "/v1/notifications"),
    _LinkSource("list_suppressions", "200", "/suppressions/0/id", "/v1/suppressions"),
    _LinkSource("list_webhooks", "200", "/webhooks/0/id", "/v1/webhooks"),
    _LinkSource("list_keys", "200", "/keys/0/id", "/v1/keys"),
    _LinkSource("list_assets", "200", "/assets/0/name", "/v1/assets"),
    _LinkSource("upload_asset", "202", "/name", "/v1/assets"),
    _LinkSource("list_webhook_deliveries", "200", "/deliveries/0/id", _DELIVERIES_PATH),
    _LinkSource("test_webhook", "202", "/id", _DELIVERIES_PATH),
    _LinkSource("replay_webhook_delivery", "202", "/id", _DELIVERIES_PATH),
    _LinkSource("list_templates", "200", "/templates/0/slug", "/v1/templates"),
    _LinkSource("list_template_versions", "200", "/versions/0/number", "/v1/templates/{slug}/versions"),
    _LinkSource("publish_template", "201", "/number", "/v1/templates/{slug}/versions"),
    _LinkSource("list_layouts", "200", "/layouts/0/name", "/v1/layouts"),
    _LinkSource("rotate_key", "201", "/id", "/v1/keys"),
)


def add_links(paths: dict[str, Any]) -> None:
    """Add to each answer its links."""
    for path, operation in iterate_operations(paths):
        name = operation["operationId"]
        created = [
            _LinkSource(name, status, "/id", path)
            for status in ("201", "202")
            if name.startswith(_CREATING_PREFIXES) and "{" not in path and status in operation["responses"]
        ]
        for source in [*created, *(source for source in _LINK_SOURCES if source.operation == name)]:
            links = operation["responses"][source.status].setdefault("links", {})
            links |= dict(_build_links(paths, source))


def _build_links(paths: dict[str, Any], source: _LinkSource) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operation in iterate_operations(paths):
        parameter, _, rest = path.removeprefix(source.place + "/{").partition("}")
        if not path.startswith(source.place + "/{") or "{" in rest:
            continue
        name = operation["operationId"]
        in_path = [part.partition("}")[0] for part in source.place.split("{")[1:]]
        parameters = {name: f"$request.path.{name}" for name in in_path}
        parameters[parameter] = f"$response.body#{source.pointer}"
        yield name, {"operationId": name, "parameters": parameters}


def iterate_operations(paths: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate over all operations with their paths."""
    for path, methods in paths.items():
        for operation in methods.values():
            yield path, operation
