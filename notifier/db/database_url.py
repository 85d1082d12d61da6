"""Parses database URLs, by the rules of libpq and with the parameters that hosting services add.

Errors are one sentence and never show a part of the URL that may hold the password.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import unquote

from notifier.db.url_parameters import (
    READ_SESSION_TARGETS,
    SESSION_TARGETS,
    UrlParameters,
    parse_parameters,
)
from notifier.errors import ConfigurationError

DEFAULT_PORT = 5432
DEFAULT_HOSTS = ("/run/postgresql", "/var/run/postgresql", "/tmp", "localhost")  # noqa: S108 - where PostgreSQL listens by default
MAX_PORT = 65_535
DATABASE_URL_VARIABLE = "NOTIFIER_DATABASE_URL"
READ_URL_VARIABLE = "NOTIFIER_DATABASE_READ_URL"
ENCODING_ADVICE = (
    "write each of these characters in a user, password or name percent-encoded:"
    " % as %25, @ as %40, : as %3A, / as %2F, ? as %3F, # as %23"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)
_HOST_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]]*))(?::([^:]*))?")
_PORT = re.compile(r"[0-9]{1,5}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class DatabaseUrlError(ConfigurationError):
    """The URL of the database cannot be used."""


@dataclass(frozen=True, kw_only=True)
class SqliteAddress:
    """A SQLite file."""

    path: Path

    @property
    def is_missing(self) -> bool:
        """True before the first migration, which creates the file."""
        try:
            self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # it may exist: opening it will show
            return False
        return False

    @property
    def place(self) -> str:
        """Where the database is, for messages."""
        return f"the SQLite database {self.path}"


@dataclass(frozen=True, kw_only=True)
class PostgresAddress:
    """One PostgreSQL server, or several of which one is suitable, and how to log in."""

    hosts: tuple[tuple[str, int], ...] = ()  # names, addresses or socket directories; empty: libpq's default
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: str | None = None
    parameters: UrlParameters
    variable: str = DATABASE_URL_VARIABLE  # the variable that had the URL, for messages

    @property
    def place(self) -> str:
        """Where the database is, for messages."""
        if not self.hosts:
            return "PostgreSQL"
        places = [f"{host}:{port}" if ":" not in host else f"[{host}]:{port}" for host, port in self.hosts]
        return f"PostgreSQL at {', '.join(places)}"


DatabaseAddress = SqliteAddress | PostgresAddress


def parse_database_url(
    url: str, variable: str = DATABASE_URL_VARIABLE, session_targets: tuple[str, ...] = SESSION_TARGETS
) -> DatabaseAddress:
    """Parse a URL. Raises `DatabaseUrlError`, whose message begins with the variable's name."""
    try:
        address = _parse(url.strip(), session_targets)
    except ValueError as error:
        raise DatabaseUrlError(f"{variable} {error}") from None  # the cause may hold the password
    return replace(address, variable=variable) if isinstance(address, PostgresAddress) else address


def parse_read_url(url: str) -> PostgresAddress:
    """Parse the URL of a standby. Raises `DatabaseUrlError`."""
    address = parse_database_url(url, READ_URL_VARIABLE, READ_SESSION_TARGETS)
    if not isinstance(address, PostgresAddress):
        raise DatabaseUrlError(f"{READ_URL_VARIABLE} must begin with postgresql://, because SQLite has no standby")
    return address


def _parse(url: str, session_targets: tuple[str, ...]) -> DatabaseAddress:
    match = _SCHEME.fullmatch(url)
    if match is None or _CONTROL.search(url):
        raise ValueError("is no URL: write postgresql://user:password@host/name")
    scheme, rest = match[1].lower().partition("+")[0], match[2]
    if scheme == "sqlite":
        return _parse_sqlite(rest)
    if scheme in {"postgresql", "postgres"}:
        return _parse_postgres(rest, session_targets)
    raise ValueError(f"begins with {match[1]}://, and must begin with postgresql:// (or sqlite:///)")


def _parse_sqlite(rest: str) -> SqliteAddress:
    text, _, query = rest.partition("?")
    path = unquote(text.removeprefix("/"))
    if not text.startswith("/") or not path or path == ":memory:" or path.startswith("file:"):
        raise ValueError("must name a file: sqlite:///relative/path or sqlite:////absolute/path")
    if query:
        raise ValueError("takes no parameters for SQLite; a ? that belongs to the path is written %3F")
    if _CONTROL.search(path):
        raise ValueError("has a control character in the path")
    return SqliteAddress(path=Path(path))


def _parse_postgres(rest: str, session_targets: tuple[str, ...]) -> PostgresAddress:
    """Parse `[user[:password]@][hosts][/name][?parameters]`. As in libpq, the login ends at the first @ before a /."""
    before_slash = rest.partition("/")[0]
    login, separator, _ = before_slash.partition("@")
    rest = rest[len(login) + 1 :] if separator else rest
    place, _, query = rest.partition("?")
    hosts, _, name = place.partition("/")
    if "#" in rest or "@" in place or "/" in name:
        raise ValueError(f"cannot be read: {ENCODING_ADVICE}")
    values = dict(_parse_query(query))
    user, _, password = login.partition(":") if separator else ("", "", "")
    ours = {key: values.pop(key, "") for key in ("user", "password", "dbname", "database", "host", "port")}
    places = _parse_hosts(unquote(hosts) or ours["host"], ours["port"])
    if len(places) > 1 and not values.get("target_session_attrs"):
        values["target_session_attrs"] = session_targets[-1]
    return PostgresAddress(
        hosts=places,
        user=_check_control(unquote(user) or ours["user"]),
        password=_check_control(unquote(password) or ours["password"]),
        database=_check_control(unquote(name) or ours["dbname"] or ours["database"]),
        parameters=parse_parameters(values, session_targets),
    )


def _parse_query(query: str) -> Iterator[tuple[str, str]]:
    hosts: list[str] = []
    for pair in filter(None, query.split("&")):
        name, separator, value = (unquote(part) for part in pair.partition("="))
        if not separator or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.\-]*", name):
            raise ValueError(f"cannot be read behind the question mark: write NAME=VALUE, and {ENCODING_ADVICE}")
        if name == "host":  # SQLAlchemy repeats it for several hosts
            hosts.append(value)
            value = ",".join(hosts)
        yield name, value


def _check_control(value: str) -> str | None:
    if _CONTROL.search(value):
        raise ValueError("has a control character in the user, password or name")
    return value or None


def _parse_hosts(hosts: str, ports: str) -> tuple[tuple[str, int], ...]:
    """Parse pairs of host and port. The `port` parameter has one port for all hosts, or one for each."""
    if not hosts:
        return tuple((host, _parse_port(ports)) for host in DEFAULT_HOSTS) if ports else ()
    names, numbers = hosts.split(","), ports.split(",") if ports else []
    if len(numbers) not in {0, 1, len(names)}:
        raise ValueError(f"has {len(numbers)} ports for {len(names)} hosts")
    numbers = numbers * len(names) if len(numbers) == 1 else numbers
    return tuple(_parse_host(name, numbers[place] if numbers else "") for place, name in enumerate(names))


def _parse_host(name: str, port: str) -> tuple[str, int]:
    name = name.strip()
    if name.startswith("/") or (name.count(":") > 1 and not name.startswith("[")):  # a socket's directory, bare IPv6
        return name, _parse_port(port)
    match = _HOST_WITH_PORT.fullmatch(name)
    if match is None or (match[3] and not _PORT.fullmatch(match[3])):
        raise ValueError(f"cannot be read where the host and port should be: {ENCODING_ADVICE}")
    return match[1] or match[2] or "localhost", _parse_port(match[3] or port)


def _parse_port(port: str) -> int:
    if not port:
        return DEFAULT_PORT
    if not _PORT.fullmatch(port) or not 0 < int(port) <= MAX_PORT:
        raise ValueError(f"has a port that is no number from 1 to {MAX_PORT}")
    return int(port)
