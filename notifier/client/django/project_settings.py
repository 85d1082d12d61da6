"""The setting `NOTIFIER` of a Django project."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_KEYS = ("URL", "KEY", "TIMEOUT", "DATABASE")


def read_options() -> Mapping[str, Any]:
    """The keys of the setting; all may be missing. Raises `ImproperlyConfigured` for an unknown one."""
    options: Mapping[str, Any] = getattr(settings, "NOTIFIER", {})
    if unknown := sorted(options.keys() - set(_KEYS)):
        raise ImproperlyConfigured(f"NOTIFIER has no key {unknown[0]!r}: its keys are {', '.join(_KEYS)}")
    return options
