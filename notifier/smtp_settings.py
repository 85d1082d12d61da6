"""The settings of the relay, a group of `notifier.settings`: its address, login, protection and connections."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from notifier.setting_values import (
    LOOPBACK_HOSTS,
    PLACEHOLDERS,
    RelayHost,
    SettingsGroup,
    check_host_name,
    to_lower_case,
)


class SmtpSecurity(StrEnum):
    """How the connection to a relay is protected."""

    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class SmtpSettings(SettingsGroup):
    """The relay that mail is handed to."""

    host: RelayHost = Field("127.0.0.1", description="Host of the relay.")
    port: int = Field(1025, ge=1, le=65535, description="Port of the relay.")
    username: str | None = Field(None, description="User name for AUTH; none means no AUTH.")
    password: SecretStr | None = Field(
        None, description="Password for AUTH; never sent over an unprotected connection."
    )
    security: Annotated[SmtpSecurity | None, BeforeValidator(to_lower_case)] = Field(
        None, description="`starttls`, `tls` or `none`. Default: `none` for a loopback relay, else `starttls`."
    )
    ca_file: Path | None = Field(None, description="Certificates to trust instead of the system's (PEM).")
    helo_name: Annotated[str, AfterValidator(check_host_name)] = Field(
        "notifier.localdomain", description="Name given in EHLO."
    )
    max_connections: int = Field(
        20,
        ge=1,
        le=500,
        description="Maximum number of connections to the relay, per process; fewer if the relay accepts fewer.",
    )

    @property
    def effective_security(self) -> SmtpSecurity:
        """The protection in use. By default only a loopback relay is used without one."""
        return self.security or (SmtpSecurity.NONE if self.is_loopback else SmtpSecurity.STARTTLS)

    @property
    def is_loopback(self) -> bool:
        """True if the relay is on this machine, so that no mail leaves it."""
        return self.host in LOOPBACK_HOSTS

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("NOTIFIER_SMTP__USERNAME and NOTIFIER_SMTP__PASSWORD go together: set both, or neither")
        if self.password is not None and self.password.get_secret_value().strip().lower() in PLACEHOLDERS:
            raise ValueError("NOTIFIER_SMTP__PASSWORD is a placeholder: set the real one")
        if self.password is not None and self.effective_security is SmtpSecurity.NONE:
            raise ValueError("a password is never sent in clear: set NOTIFIER_SMTP__SECURITY to starttls or tls")
        return self
