"""The `NOTIFIER_…` variables of a command: those of the environment, then those of `.env` in the working directory.

An empty or blank variable counts as not set. A secret may be the content of a file that `NAME_FILE` names.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from notifier.errors import ConfigurationError

PREFIX = "NOTIFIER_"
DOTENV = ".env"
MAX_FILE_BYTES = 64 * 1024
SECRET_VARIABLES = frozenset(
    {
        "NOTIFIER_ADMIN_KEY",
        "NOTIFIER_API_KEY",
        "NOTIFIER_CELERY__BROKER_URL",
        "NOTIFIER_CONSOLE__OIDC_CLIENT_SECRET",
        "NOTIFIER_DATABASE_READ_URL",
        "NOTIFIER_DATABASE_URL",
        "NOTIFIER_METRICS_TOKEN",
        "NOTIFIER_PRODUCER_DATABASE_URL",
        "NOTIFIER_SECRET_KEY",
        "NOTIFIER_SMTP__PASSWORD",
    }
)
"""Variables whose value may be in a file that `NAME_FILE` names."""
CLIENT_VARIABLES = frozenset(
    {
        "NOTIFIER_URL",
        *("NOTIFIER_API_KEY", "NOTIFIER_API_KEY_FILE"),
        *("NOTIFIER_ADMIN_KEY", "NOTIFIER_ADMIN_KEY_FILE"),
        *("NOTIFIER_PRODUCER_DATABASE_URL", "NOTIFIER_PRODUCER_DATABASE_URL_FILE"),
    }
)
"""Variables of commands that call an API. They are no settings of the service."""
_DEVELOPERS_VARIABLES = re.compile(r"NOTIFIER_(TEST|BENCH)_\w+|NOTIFIER_CHAOS(_SEED)?")
_SERVICE_HOST = "_SERVICE_HOST"
_SERVICE_ENDINGS = re.compile(r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")


@dataclass(frozen=True)
class EnvironmentVariable:
    """A variable that is set. `origin`: `environment`, `.env` or `file PATH`."""

    name: str
    value: str = field(repr=False)
    origin: str


def get_variable(name: str) -> str | None:
    """Get the value of a variable without surrounding blanks. Raises `ConfigurationError` if a file is unusable."""
    variable = resolve_secret(name, read_variables())
    return variable.value.strip() if variable is not None else None


def change_variables(values: Mapping[str, str | None]) -> None:
    """Set variables of this process, and remove those whose value is None."""
    for name, value in values.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


def list_origins() -> dict[str, str]:
    """List the origin of each variable that is set: `environment`, `.env` or `file PATH`."""
    variables = read_variables()
    origins = {name: variable.origin for name, variable in variables.items()}
    for name in SECRET_VARIABLES:
        if file := variables.get(f"{name}_FILE"):
            origins[name] = _name_origin(file.value)
    return origins


def list_set_variables() -> list[str]:
    """List the names of all variables that are set, sorted. An unusable `.env` counts as empty."""
    try:
        return sorted(read_variables())
    except ConfigurationError:
        return sorted(_read_environment())


def read_variables() -> dict[str, EnvironmentVariable]:
    """Read all variables by their names in capitals; files of secrets are not opened.

    Raises `ConfigurationError` if `.env` cannot be used.
    """
    environment, in_file = _read_environment(), read_dotenv()
    for name in SECRET_VARIABLES:  # either form in the environment replaces both forms in `.env`
        if {name, f"{name}_FILE"} & environment.keys():
            in_file = {key: value for key, value in in_file.items() if key not in {name, f"{name}_FILE"}}
    return in_file | environment


def resolve_secret(name: str, variables: dict[str, EnvironmentVariable]) -> EnvironmentVariable | None:
    """Return the variable, or the content of the file that `NAME_FILE` names. Raises `ConfigurationError`."""
    variable, file = variables.get(name), variables.get(f"{name}_FILE") if name in SECRET_VARIABLES else None
    if file is None:
        return variable
    if variable is not None:
        raise ConfigurationError(f"{name} and {name}_FILE are both set: remove one of them")
    return EnvironmentVariable(name, _read_secret_file(file), _name_origin(file.value))


def is_foreign(name: str, variables: dict[str, EnvironmentVariable]) -> bool:
    """True if a variable that is no setting belongs to clients, to developers, or to Kubernetes.

    Kubernetes sets such as `NOTIFIER_PORT` in every container for a Service with the name `notifier`.
    """
    if name in CLIENT_VARIABLES or _DEVELOPERS_VARIABLES.fullmatch(name):
        return True
    if "KUBERNETES_SERVICE_HOST" not in os.environ or variables[name].origin == DOTENV:
        return False
    services = (other.removesuffix(_SERVICE_HOST) for other in variables if other.endswith(_SERVICE_HOST))
    return any(_SERVICE_ENDINGS.fullmatch(name.removeprefix(service)) for service in services)


def read_dotenv() -> dict[str, EnvironmentVariable]:
    """Read the variables in `.env`; those of other programs are ignored. No file, or a directory: none.

    Values are taken as they stand: `${NAME}` is not replaced. Raises `ConfigurationError` with the line of a fault.
    """
    try:
        text = _read_text(Path(DOTENV))
    except (FileNotFoundError, IsADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{DOTENV} cannot be read: {_describe(error)}") from error
    variables = {}
    for binding in parse_stream(StringIO(text)):
        name, value = (binding.key or "").upper(), binding.value
        is_ours = name.startswith(PREFIX)
        if binding.error or (is_ours and value is None):
            blank_lines = len(binding.original.string) - len(binding.original.string.lstrip("\r\n"))
            line = binding.original.line + blank_lines
            raise ConfigurationError(f"{DOTENV}, line {line}: write NAME=value, and close its quotes")
        if is_ours and value and value.strip():
            variables[name] = EnvironmentVariable(name, value, DOTENV)
    return variables


def _read_environment() -> dict[str, EnvironmentVariable]:
    return {
        name.upper(): EnvironmentVariable(name.upper(), value, "environment")
        for name, value in os.environ.items()
        if name.upper().startswith(PREFIX) and value.strip()
    }


def _name_origin(path: str) -> str:
    return f"file {path.strip()}"


def _read_secret_file(variable: EnvironmentVariable) -> str:
    """Read a secret without the newline at its end."""
    path = Path(variable.value.strip())
    try:
        text = _read_text(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{variable.name}: {path} cannot be read: {_describe(error)}") from error
    if not text.strip():
        raise ConfigurationError(f"{variable.name}: {path} is empty: write the secret into it")
    return text.removesuffix("\n").removesuffix("\r")


def _read_text(path: Path) -> str:
    """Read a small UTF-8 file. Raises `OSError`, or `ValueError` with what to do."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES // 1024} KiB: name the right file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"line {line} is not UTF-8: save the file as UTF-8") from None
    if "\0" in text:
        raise ValueError("it has a NUL character: save the file as UTF-8 text")
    return text


def _describe(error: OSError | ValueError) -> str:
    """Describe why a file cannot be read, and what to do."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "there is no such file: create it, or correct the path"
    if isinstance(error, IsADirectoryError):
        return "it is a directory: move it away, or correct the path"
    if isinstance(error, PermissionError):
        return "this user has no right to: change its owner or mode"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
