"""The settings of the retention, a group of `notifier.settings`: how many days each kind of data is kept."""

from typing import Self

from pydantic import Field, model_validator

from notifier.setting_values import SettingsGroup

MIN_AUDIT_DAYS = 365
"""The database refuses to delete a younger audit record."""
MAX_KEEP_DAYS = 3650


class RetentionSettings(SettingsGroup):
    """How long data is kept before the purge deletes it."""

    content_days: float = Field(
        7,
        ge=0,
        le=MAX_KEEP_DAYS,
        description="Days that content and variables are kept after the end; a service or template may say otherwise.",
    )
    notification_days: float = Field(
        90,
        ge=0,
        le=MAX_KEEP_DAYS,
        description=(
            "Days that a notification is kept after the end, with attempts and events; a service may say otherwise."
        ),
    )
    max_content_days: float = Field(
        90, ge=0, le=MAX_KEEP_DAYS, description="Longest time in days that a service or template may keep content."
    )
    max_notification_days: float = Field(
        730, ge=0, le=MAX_KEEP_DAYS, description="Longest time in days that a service may keep notifications."
    )
    webhook_days: float = Field(
        30, ge=0, le=MAX_KEEP_DAYS, description="Days that webhook events, deliveries and their attempts are kept."
    )
    job_days: float = Field(90, ge=0, le=MAX_KEEP_DAYS, description="Days that a job run is kept after its end.")
    audit_days: float = Field(
        730,
        ge=MIN_AUDIT_DAYS,
        le=MAX_KEEP_DAYS,
        description="Days that an audit record is kept; at least 365.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("content_days", "notification_days"):
            days, ceiling = getattr(self, name), getattr(self, f"max_{name}")
            if days > ceiling:
                upper = name.upper()
                raise ValueError(
                    f"NOTIFIER_RETENTION__{upper} is {days:g}, above NOTIFIER_RETENTION__MAX_{upper}, which is"
                    f" {ceiling:g}: lower the first, or raise the second"
                )
        return self
