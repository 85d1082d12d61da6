"""Reads `NOTIFIER_…` variables, and has the settings of the log, which every command needs.

An empty or blank variable counts as not set.
"""

import base64
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "NOTIFIER_"
SECRET_KEY_BYTES = 32
_PUBLIC_URL = re.compile(r"https?://[^\s\"'<>?#]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9.\-\[\]:]+")


def list_set_variables() -> list[str]:
    """List the names of all `NOTIFIER_…` variables that are set, sorted."""
    return sorted(name for name, value in os.environ.items() if name.upper().startswith(PREFIX) and value.strip())


class EnvironmentSource(EnvSettingsSource):
    """A source of settings: the variables that are not blank."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in super()._load_env_vars().items() if value and value.strip()}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Decode the JSON of a group. Invalid JSON is kept as it is: validation refuses it and names the variable."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def split_commas(value: object) -> object:
    """Split a comma-separated text into its parts."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def to_lower_case(value: object) -> object:
    """Convert a text to lower case, for a setting with fixed values."""
    return value.strip().lower() if isinstance(value, str) else value


def to_upper_case(value: object) -> object:
    """Convert a text to upper case, for a setting with fixed values."""
    return value.strip().upper() if isinstance(value, str) else value


def check_public_url(value: str | None) -> str | None:
    """Raise `ValueError` if links cannot begin with the URL."""
    if value is not None and not _PUBLIC_URL.fullmatch(value):
        raise ValueError("must be an address such as https://notifier.example.com, without spaces, quotes, ? and #")
    return value


def check_host_name(value: str) -> str:
    """Raise `ValueError` if the name cannot be sent in EHLO."""
    if not _HOST_NAME.fullmatch(value):
        raise ValueError("must be a host name such as mail.example.com")
    return value


def read_secret_keys(value: str) -> tuple[bytes, ...]:
    """Parse comma-separated keys in base64. Raises `ValueError`, whose message contains no key."""
    keys = []
    for text in value.split(","):
        try:
            keys.append(base64.b64decode(text.strip(), validate=True))
        except ValueError:
            keys.append(b"")
    if any(len(key) != SECRET_KEY_BYTES for key in keys):
        raise ValueError("must be 32 random bytes in base64, as `openssl rand -base64 32` prints them")
    return tuple(keys)


def check_secret_keys(value: SecretStr | None) -> SecretStr | None:
    """Raise `ValueError` if a key is invalid."""
    if value is not None:
        read_secret_keys(value.get_secret_value())
    return value


class LogFormat(StrEnum):
    """How log lines are written."""

    AUTO = "auto"
    JSON = "json"
    PRETTY = "pretty"


class LogLevel(StrEnum):
    """How severe a line must be to be written."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class LogSettings(BaseSettings):
    """How the process logs."""

    reads_environment: ClassVar[bool] = True
    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        str_strip_whitespace=True,
    )

    log_format: Annotated[LogFormat, BeforeValidator(to_lower_case)] = Field(
        LogFormat.AUTO, description="`json`, `pretty`, or `auto`: pretty on a terminal."
    )
    log_level: Annotated[LogLevel, BeforeValidator(to_upper_case)] = Field(
        LogLevel.INFO, description="Least severe level logged: `DEBUG`, `INFO`, `WARNING` or `ERROR`."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then the environment, unless the class does not read it."""
        return (init_settings, EnvironmentSource(settings_cls)) if cls.reads_environment else (init_settings,)
