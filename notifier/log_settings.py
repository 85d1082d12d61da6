"""The settings of the log, which every command needs: the part of `notifier.settings` that is quick to load."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from notifier.environment import PREFIX
from notifier.setting_source import EnvironmentSource
from notifier.setting_values import to_lower_case, to_upper_case


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
