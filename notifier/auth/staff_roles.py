"""The roles of staff. A role is a name for scopes; a person has a set of roles."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from notifier.auth.authenticated_key import KeyScope


class StaffRole(StrEnum):
    """What a person does."""

    SUPPORT = "support"
    EDITOR = "editor"
    PUBLISHER = "publisher"
    OPERATOR = "operator"
    ADMIN = "admin"


COMMON_SCOPES = frozenset({KeyScope.READ, KeyScope.TEMPLATES_READ})
"""What everybody who signs in may do."""
_SUPPORT = COMMON_SCOPES | {KeyScope.CONTENT, KeyScope.ACT, KeyScope.SUPPRESSIONS}
_EDITOR = COMMON_SCOPES | {KeyScope.TEMPLATES_EDIT}
_PUBLISHER = COMMON_SCOPES | {KeyScope.TEMPLATES_PUBLISH}
_OPERATOR = COMMON_SCOPES | {KeyScope.ACT, KeyScope.AUDIT}
_ADMIN_ONLY = frozenset({KeyScope.STAFF, KeyScope.KEYS, KeyScope.UNMASKED, KeyScope.ADMIN})
ROLE_SCOPES: Mapping[StaffRole, frozenset[KeyScope]] = {
    StaffRole.SUPPORT: _SUPPORT,
    StaffRole.EDITOR: _EDITOR,
    StaffRole.PUBLISHER: _PUBLISHER,
    StaffRole.OPERATOR: _OPERATOR,
    StaffRole.ADMIN: _SUPPORT | _EDITOR | _PUBLISHER | _OPERATOR | _ADMIN_ONLY,
}


def get_role_scopes(roles: Iterable[StaffRole]) -> frozenset[str]:
    """Get what a person with these roles may do."""
    return frozenset(scope.value for scope in COMMON_SCOPES.union(*(ROLE_SCOPES[role] for role in roles)))
