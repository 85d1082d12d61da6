"""The scopes of API keys."""

from enum import StrEnum


class Scope(StrEnum):
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


DEFAULT_SCOPES = (Scope.SEND, Scope.READ)
ADMIN_SCOPES = (Scope.TEMPLATES_READ, Scope.TEMPLATES_EDIT, Scope.TEMPLATES_PUBLISH, Scope.ADMIN)
"""The default of an admin key."""
SERVICE_SCOPES = tuple(scope for scope in Scope if scope is not Scope.ADMIN)
"""The scopes that a key of a service can have."""
