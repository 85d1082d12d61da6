"""The scopes of API keys."""

from enum import StrEnum


class KeyScope(StrEnum):
    """What a key may do."""

    SEND = "notifications:send"
    READ = "notifications:read"
    CONTENT = "content:read"
    SUPPRESSIONS = "suppressions:manage"
    WEBHOOKS = "webhooks:manage"
    KEYS = "keys:manage"
    AUDIT = "audit:read"
    TEMPLATES_READ = "templates:read"
    TEMPLATES_EDIT = "templates:edit"
    TEMPLATES_PUBLISH = "templates:publish"
    UNMASKED = "content:unmasked"
    ADMIN = "admin"


DEFAULT_SCOPES = (KeyScope.SEND, KeyScope.READ)
ADMIN_SCOPES = (KeyScope.TEMPLATES_READ, KeyScope.TEMPLATES_EDIT, KeyScope.TEMPLATES_PUBLISH, KeyScope.ADMIN)
"""The default of an admin key."""
SERVICE_SCOPES = tuple(scope for scope in KeyScope if scope is not KeyScope.ADMIN)
"""The scopes that a key of a service can have."""
