"""Replaces the secret variables of a mail that needs them no more: by those of the template's sample.

The sample has values of the same kind, so the mail can still be shown, and drafts can still be tried on the request.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

ERASED = "•••"
"""What stands where the sample has no value."""


class SecretErasure(msgspec.Struct, frozen=True, kw_only=True):
    """What is secret in the mails of one version."""

    paths: tuple[str, ...]  # dotted; also inside lists
    sample: dict[str, Any]

    def apply(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the variables with each secret value replaced."""
        paths = frozenset(tuple(path.split(".")) for path in self.paths)
        erased: dict[str, Any] = _replace(variables, self.sample, (), paths)
        return erased

    def apply_to_json(self, text: str) -> str:
        """Return the variables, as JSON, with each secret value replaced."""
        return msgspec.json.encode(self.apply(msgspec.json.decode(text))).decode()


def mask_variables(erasure: SecretErasure | None, text: str) -> str | None:
    """Replace the secret variables in their JSON; None: there are none, or it cannot be read, and the purge does it."""
    if erasure is None:
        return None
    try:
        return erasure.apply_to_json(text)
    except Exception:  # noqa: BLE001 - the reply of the relay must be recorded, whatever the variables are
        return None


def _replace(value: Any, sample: Any, path: tuple[str, ...], paths: frozenset[tuple[str, ...]]) -> Any:
    if path in paths:
        return ERASED if sample is None else sample
    if isinstance(value, Mapping):
        parts = sample if isinstance(sample, Mapping) else {}
        return {key: _replace(inner, parts.get(key), (*path, key), paths) for key, inner in value.items()}
    if isinstance(value, list):
        first = sample[0] if isinstance(sample, list) and sample else None
        return [_replace(item, first, path, paths) for item in value]
    return value
