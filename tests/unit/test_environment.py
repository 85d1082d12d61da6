"""Variables: the environment comes before `.env`, and secrets may be in files."""

import os
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from notifier import client, environment
from notifier.cli import setting_faults
from notifier.errors import ConfigurationError
from notifier.setting_source import list_variables
from notifier.settings import Settings

LOGIN = {"NOTIFIER_SMTP__HOST": "smtp.example.com", "NOTIFIER_SMTP__USERNAME": "u"}
KUBERNETES = {
    "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    "NOTIFIER_SERVICE_HOST": "10.0.0.2",
    "NOTIFIER_SERVICE_PORT": "8000",
    "NOTIFIER_SERVICE_PORT_HTTP": "8000",
    "NOTIFIER_PORT": "tcp://10.0.0.2:8000",
    "NOTIFIER_PORT_8000_TCP": "tcp://10.0.0.2:8000",
    "NOTIFIER_PORT_8000_TCP_ADDR": "10.0.0.2",
    "NOTIFIER_PORT_8000_TCP_PORT": "8000",
    "NOTIFIER_PORT_8000_TCP_PROTO": "tcp",
    "NOTIFIER_API_SERVICE_HOST": "10.0.0.3",
    "NOTIFIER_API_PORT": "tcp://10.0.0.3:8000",
}
"""What a container has if there are Services named `notifier` and `notifier-api`."""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working directory, and an environment without any of our variables."""
    for name in list(os.environ):
        if name.startswith("NOTIFIER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _set(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def _list_secrets(model: type[BaseModel], prefix: str = environment.PREFIX) -> set[str]:
    """The variables whose values are secret."""
    secrets: set[str] = set()
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            secrets |= _list_secrets(field.annotation, f"{prefix}{name.upper()}__")
        elif "SecretStr" in str(field.annotation):
            secrets.add(prefix + name.upper())
    return secrets


def test_the_environment_comes_before_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is taken from `.env` unless the environment has it; a blank one counts as not set."""
    _set(monkeypatch, {"NOTIFIER_SMTP__PORT": "587", "NOTIFIER_DATA_DIR": " "})
    (folder / ".env").write_text("NOTIFIER_SMTP__PORT=25\nNOTIFIER_SMTP__HOST=h.example\nNOTIFIER_DATA_DIR=there\n")
    settings = Settings()
    assert (settings.smtp.host, settings.smtp.port, str(settings.data_dir)) == ("h.example", 587, "there")
    assert environment.list_origins() == {
        "NOTIFIER_DATA_DIR": ".env",
        "NOTIFIER_SMTP__HOST": ".env",
        "NOTIFIER_SMTP__PORT": "environment",
    }


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NOTIFIER_FROM=a@b.example", "a@b.example"),
        ("export NOTIFIER_FROM=a@b.example", "a@b.example"),
        ("notifier_from = a@b.example  # ours", "a@b.example"),
        ('NOTIFIER_FROM="Shop #1 <a@b.example>"', "Shop #1 <a@b.example>"),
        ("NOTIFIER_FROM='Shop <a@b.example>'\r\n", "Shop <a@b.example>"),
        ("NOTIFIER_FROM=${HOME}$x", "${HOME}$x"),
        ("\ufeffNOTIFIER_FROM=a@b.example", "a@b.example"),
        ("NOTIFIER_FROM=a\nNOTIFIER_FROM=b", "b"),
        ("NOTIFIER_FROM=\nDEBUG\nPORT=x", None),
        ("OTHER=${HOME}\n# NOTIFIER_FROM=a", None),
        ("", None),
    ],
)
def test_how_lines_are_read(folder: Path, line: str, value: str | None) -> None:
    """Quotes, comments and `export` are as in a shell, but nothing is replaced; other programs' lines are ignored."""
    (folder / ".env").write_text(line)
    assert environment.get_variable("NOTIFIER_FROM") == value
    assert Settings().from_ == (value or Settings.model_fields["from_"].default)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"A=1\n\n\nNOTIFIER_FROM\n", "line 4"),
        (b"A=1\nB='x\n", "line 2"),
        (b"A=1\nB=2\n=x\n", "line 3"),
        (b"A=1\nNOTIFIER_FROM=\xe9\n", "line 2 is not UTF-8"),
        (b"A=\0\n", "NUL"),
        (b"A=1\n" * 20_000, "larger than 64 KiB"),
    ],
)
def test_a_file_that_cannot_be_used(folder: Path, content: bytes, words: str) -> None:
    """The fault names the file and the line; those who ignore settings ignore it."""
    (folder / ".env").write_bytes(content)
    with pytest.raises(ConfigurationError, match=words) as raised:
        Settings()
    assert str(raised.value).startswith(".env")
    assert "\n" not in str(raised.value)
    assert environment.list_set_variables() == []


def test_a_virtual_environment_of_that_name_is_no_file(folder: Path) -> None:
    """A directory `.env` has no variables."""
    (folder / ".env").mkdir()
    assert environment.read_variables() == {}


def test_which_variables_are_secrets() -> None:
    """Every secret setting, and the secrets of clients, may be in a file."""
    clients = {"NOTIFIER_API_KEY", "NOTIFIER_ADMIN_KEY", "NOTIFIER_PRODUCER_DATABASE_URL"}
    assert _list_secrets(Settings) | clients == environment.SECRET_VARIABLES
    assert not environment.CLIENT_VARIABLES & set(list_variables(Settings))


@pytest.mark.parametrize("in_dotenv", [False, True])
def test_a_secret_in_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch, *, in_dotenv: bool) -> None:
    """Its value is the content without the newline at the end; a path may be relative to the working directory."""
    (folder / "secret").write_text("correct horse\r\n")
    values = LOGIN | {"NOTIFIER_SMTP__PASSWORD_FILE": "secret", "NOTIFIER_API_KEY_FILE": str(folder / "secret")}
    if in_dotenv:
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    else:
        _set(monkeypatch, values)
    password = Settings().smtp.password
    assert password is not None
    assert password.get_secret_value() == "correct horse"
    assert environment.list_origins()["NOTIFIER_SMTP__PASSWORD"] == "file secret"
    assert environment.get_variable("NOTIFIER_API_KEY") == "correct horse"


def test_a_secret_in_both_forms(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either form in the environment replaces what `.env` has; both in one place are a fault."""
    (folder / "secret").write_text("from the file")
    (folder / ".env").write_text("NOTIFIER_METRICS_TOKEN=from dotenv\n")
    monkeypatch.setenv("NOTIFIER_METRICS_TOKEN_FILE", "secret")
    assert Settings().metrics_token == SecretStr("from the file")
    monkeypatch.setenv("NOTIFIER_METRICS_TOKEN", "both")
    with pytest.raises(ConfigurationError, match="NOTIFIER_METRICS_TOKEN_FILE are both set: remove one"):
        Settings()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "there is no such file"),
        ("", "is empty"),
        (" \n", "is empty"),
        ("x" * 70_000, "larger than 64 KiB"),
        ("\0", "NUL"),
        ("\udce9", "line 1 is not UTF-8"),
    ],
)
def test_a_secret_file_that_cannot_be_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, words: str
) -> None:
    """The fault names the variable, the path and what to do; a command that needs another variable goes on."""
    if content is not None:
        (folder / "secret").write_bytes(content.encode(errors="surrogateescape"))
    _set(monkeypatch, {"NOTIFIER_SECRET_KEY_FILE": "secret", "NOTIFIER_URL": " http://127.0.0.1:8000 "})
    with pytest.raises(ConfigurationError, match=f"^NOTIFIER_SECRET_KEY_FILE: secret .*{words}"):
        Settings()
    assert environment.get_variable("NOTIFIER_URL") == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("NOTIFIER_SMTP_HOST", "did you mean NOTIFIER_SMTP__HOST?"),
        ("notifier_smtp_pasword", "did you mean NOTIFIER_SMTP__PASSWORD?"),
        ("NOTIFIER_DATABSE_URL", "did you mean NOTIFIER_DATABASE_URL?"),
        ("NOTIFIER_LOGLEVEL", "did you mean NOTIFIER_LOG_LEVEL?"),
        ("NOTIFIER_LOG_LEVEL__X", "did you mean NOTIFIER_LOG_LEVEL?"),
        ("NOTIFIER_FROM_", "did you mean NOTIFIER_FROM?"),
        ("NOTIFIER_URLS", "did you mean NOTIFIER_URL?"),
        ("NOTIFIER_FROM_FILE", "only a secret can be read from a file, so set NOTIFIER_FROM"),
        ("NOTIFIER_XYZZY", "remove it"),
        ("NOTIFIER_PORT", "did you mean NOTIFIER_API__PORT?"),
    ],
)
@pytest.mark.parametrize("in_dotenv", [False, True])
def test_an_unknown_variable_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, advice: str, *, in_dotenv: bool
) -> None:
    """The fault names it and the nearest one, and never shows its value."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    if in_dotenv:
        (folder / ".env").write_text(f"{name}=s3cr3t\n")
    else:
        monkeypatch.setenv(name, "s3cr3t")
    with pytest.raises(ValidationError) as raised:
        Settings()
    where = " (in .env)" if in_dotenv else ""
    (line,) = setting_faults.describe_setting_faults(raised.value)
    assert line == f"{name.upper()}: there is no such setting; {advice}{where}"


def test_variables_of_others_are_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of clients, of developers, and those that Kubernetes sets for Services."""
    ours = dict.fromkeys(environment.CLIENT_VARIABLES, "x")
    _set(monkeypatch, ours | {"NOTIFIER_TEST_EVERYTHING": "1", "NOTIFIER_CHAOS": "5", "NOTIFIER_CHAOS_SEED": "7"})
    _set(monkeypatch, KUBERNETES)
    assert Settings() == Settings(data_dir=Path("var"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(ValidationError):
        Settings()


def test_a_client_in_a_program_reads_no_file(folder: Path) -> None:
    """Only commands read `.env`; a library does not."""
    (folder / ".env").write_text("NOTIFIER_URL=http://127.0.0.1:8000\nNOTIFIER_API_KEY=k\n")
    with pytest.raises(client.ConfigurationError, match="NOTIFIER_URL"):
        client.Notifier()
