"""The settings of the staff console, a group of `notifier.settings`: its address, sessions, and sign-in by OpenID."""

from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from notifier.setting_values import LOOPBACK_HOSTS, PublicUrl, SettingsGroup, split_commas

MAX_SESSION_HOURS = 7 * 24


def _check_secure_url(value: str) -> str:
    """Raise `ValueError` if passwords or tokens would be sent to the URL in clear."""
    parts = urlsplit(value)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK_HOSTS:
        raise ValueError("must begin with https://, because passwords are sent to it")
    return value.rstrip("/")


def _check_console_url(value: str) -> str:
    """Raise `ValueError` if the console is not at `/console` below the URL."""
    if urlsplit(value).path not in {"", "/"}:
        raise ValueError("must have no path: the console is at /console below it")
    return _check_secure_url(value)


class ConsoleSettings(SettingsGroup):
    """The staff console."""

    enabled: bool = Field(default=True, description="Whether the API also serves the console, at `/console`.")
    url: Annotated[PublicUrl, AfterValidator(_check_console_url)] | None = Field(
        None,
        description="URL at which people open the console, such as `https://notifier.example.com`. Default: the"
        " address that they use; without HTTPS it opens on this machine only.",
    )
    idle_minutes: float = Field(
        30, ge=1, le=MAX_SESSION_HOURS * 60, description="Minutes without use after which a person is signed out."
    )
    max_hours: float = Field(
        12, gt=0, le=MAX_SESSION_HOURS, description="Hours after which a person is signed out in any case."
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(split_commas)] = Field(
        (IPv4Network("127.0.0.1"), IPv6Network("::1")),
        description="Proxies whose `X-Forwarded-For` is believed, as addresses or networks; comma-separated.",
    )
    oidc_issuer: Annotated[PublicUrl, AfterValidator(_check_secure_url)] | None = Field(
        None, description="URL of an OpenID provider at which staff may sign in; needs `notifier-outbox[oidc]`."
    )
    oidc_client_id: str | None = Field(None, description="Our client id at the OpenID provider.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="Our client secret there. Default: none, for a public client; PKCE is used with both."
    )
    oidc_name: str = Field("your company account", max_length=40, description="What the button says: Sign in with …")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError(
                "NOTIFIER_CONSOLE__OIDC_ISSUER and NOTIFIER_CONSOLE__OIDC_CLIENT_ID go together: set both, or neither"
            )
        return self
