"""Gives settings their values from `NOTIFIER_…` variables, and names the variables of settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from notifier import environment
from notifier.environment import PREFIX


def list_variables(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[str]:
    """List the names of all variables of a group of settings."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from list_variables(kind, f"{prefix}{name.upper()}__")
        else:
            yield str(field.validation_alias or prefix + name.upper())


class EnvironmentSource(EnvSettingsSource):
    """A source of settings: the variables that are not blank, and the files of secrets."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        variables = environment.read_variables()
        names = set(list_variables(self.settings_cls))
        for name in sorted(names & environment.SECRET_VARIABLES):
            secret = environment.resolve_secret(name, variables)
            if secret is not None:
                variables[name] = secret
                variables.pop(f"{name}_FILE", None)
        groups = {name.partition("__")[0] for name in names if "__" in name}
        self._unknown = {
            name: variable.value
            for name, variable in variables.items()
            if name not in names | groups
            and name.partition("__")[0] not in groups
            and not environment.is_foreign(name, variables)
        }
        return {name.lower(): variable.value for name, variable in variables.items() if name not in self._unknown}

    def __call__(self) -> dict[str, Any]:
        """Return the values, and unknown variables by their names, so that validation refuses them."""
        refuses = self.config.get("extra") == "forbid"
        return super().__call__() | (self._unknown if refuses else {})

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Decode the JSON of a group. Invalid JSON is kept as it is: validation refuses it and names the variable."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value
