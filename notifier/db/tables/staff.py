"""Staff: people who sign in to the console, their sessions and one-time links, and the waits after wrong passwords."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import Field

from notifier.db.table_base import Table, UtcDateTime, build_enum_type, build_json_type


class LinkPurpose(StrEnum):
    """What a one-time link is for."""

    WELCOME = "welcome"  # the first password
    RESET = "reset"


class StaffUser(Table, table=True):
    """A person who may sign in to the console."""

    __tablename__ = "staff_user"

    id: UUID = Field(primary_key=True)
    email: str = Field(max_length=320, unique=True)  # in lower case
    name: str = Field(max_length=64)
    roles: list[str] = Field(sa_type=build_json_type())
    password_hash: str | None = Field(default=None, max_length=256)  # argon2id; None: not set yet, or OIDC only
    time_zone: str = Field(max_length=64)
    uses_plain_editor: bool = False
    created_by: str = Field(max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
    disabled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class StaffLogin(Table, table=True):
    """A session of a person. Only the SHA-256 of its token is stored. It is kept for 30 days after its beginning."""

    __tablename__ = "staff_session"

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="staff_user.id", index=True)
    token_hash: bytes = Field(unique=True)
    created_at: datetime = Field(sa_type=UtcDateTime, index=True)
    seen_at: datetime = Field(sa_type=UtcDateTime)  # to within a minute
    password_at: datetime = Field(sa_type=UtcDateTime)  # when the person last proved who they are
    expires_at: datetime = Field(sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # signed out or revoked
    flash: str | None = Field(default=None, max_length=500)  # what the next page says once
    from_address: str = Field(max_length=64)
    browser: str = Field(max_length=200)


class StaffLink(Table, table=True):
    """A one-time link by which a person sets a password. Only the SHA-256 of its token is stored."""

    __tablename__ = "staff_link"

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="staff_user.id", index=True)
    purpose: LinkPurpose = Field(sa_type=build_enum_type(LinkPurpose, "purpose"))
    token_hash: bytes = Field(unique=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class SignInWait(Table, table=True):
    """The wrong passwords for one e-mail address, also an unknown one, or from one client address."""

    __tablename__ = "staff_sign_in_wait"

    subject_hash: bytes = Field(primary_key=True)  # SHA-256 of the kind and the e-mail or client address
    failures: int
    failed_at: datetime = Field(sa_type=UtcDateTime, index=True)
    open_at: datetime = Field(sa_type=UtcDateTime)  # the next password is checked from this time on


class OidcRequest(Table, table=True):
    """A sign-in that began at the OpenID provider and has not come back. It lives ten minutes."""

    __tablename__ = "staff_oidc_request"

    state_hash: bytes = Field(primary_key=True)  # SHA-256 of the state in the URL
    browser_hash: bytes  # SHA-256 of a cookie: only the browser that began may end it
    nonce: str = Field(max_length=64)
    code_verifier: str = Field(max_length=128)  # PKCE (RFC 7636)
    next_path: str = Field(max_length=1000)
    created_at: datetime = Field(sa_type=UtcDateTime, index=True)
