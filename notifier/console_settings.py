"""The settings of the console, a group of `notifier.settings`: its address, its sessions, and sign-in by OpenID."""

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from notifier.environment import check_public_url

MAX_SESSION_HOURS = 7 * 24


class ConsoleSettings(BaseModel):
    """The web console, in which staff sign in."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    enabled: bool = Field(default=True, description="Whether the API also serves the console, at `/console`.")
    url: Annotated[str | None, AfterValidator(check_public_url)] = Field(
        None,
        description=(
            "URL from outside, without `/console`, for one-time links and sign-in by OpenID. Default:"
            " `NOTIFIER_PUBLIC_URL`."
        ),
    )
    idle_minutes: float = Field(
        30, ge=1, le=MAX_SESSION_HOURS * 60, description="Minutes without use after which a person is signed out."
    )
    max_hours: float = Field(
        12, gt=0, le=MAX_SESSION_HOURS, description="Hours after which a person is signed out in any case."
    )
    oidc_issuer: Annotated[str | None, AfterValidator(check_public_url)] = Field(
        None, description="URL of an OpenID provider at which staff may sign in; needs `notifier[oidc]`."
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
