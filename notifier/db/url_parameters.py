"""The parameters of a PostgreSQL URL: those of libpq and of hosting services. Unknown ones are refused."""

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
SESSION_TARGETS = ("any", "primary", "read-write")
"""Values of `target_session_attrs` that lead to a server that takes writes. The last is used for several hosts."""
READ_SESSION_TARGETS = ("any", "standby", "read-only")
"""Its values for a server that is only read. The last is used for several hosts."""
SYSTEM_CERTIFICATES = "system"
"""The value of `sslrootcert` that means the certificates of the operating system."""
_FILES = frozenset({"sslcert", "sslkey", "sslcrl", "sslrootcert"})
_DRIVER_PARAMETERS = _FILES | {
    "sslpassword",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "passfile",
    "service",
    "krbsrvname",
    "gsslib",
}
"""Parameters that the driver reads itself."""
_IGNORED_PARAMETERS = frozenset(
    {
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "sslcompression",
        "sslsni",
    }
)
_OPTIONS = "a setting of the server is written options=-c%20NAME%3DVALUE"
_REPLACEMENTS = {
    "schema": "write options=-c%20search_path%3DNAME",
    "currentSchema": "write options=-c%20search_path%3DNAME",
    "search_path": "write options=-c%20search_path%3DNAME",
    "statement_timeout": _OPTIONS,
    "lock_timeout": _OPTIONS,
    "sslaccept": "write sslmode=verify-full, or sslmode=require to take any certificate",
    "connection_limit": "leave it out, because Notifier sizes its pools itself",
    "pool_timeout": "leave it out, because Notifier sizes its pools itself",
    "pool_size": "leave it out, because Notifier sizes its pools itself",
    "socket_timeout": "leave it out",
    "hostaddr": "give the address as the host",
    "timeout": "write connect_timeout, in seconds",
    "command_timeout": "leave it out",
}
"""Parameters of other clients, and what to write instead."""
_ALLOWED_VALUES = {
    "sslmode": TLS_MODES,
    "ssl_min_protocol_version": TLS_VERSIONS,
    "ssl_max_protocol_version": TLS_VERSIONS,
    "sslnegotiation": ("postgres", "direct"),
    "gsslib": ("gssapi", "sspi"),
    "gssencmode": ("disable", "prefer"),
    "channel_binding": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable",),
    "ssl": (*TLS_MODES, "true", "false", "1", "0"),
    "pgbouncer": ("true", "false", "1", "0"),
    "client_encoding": ("utf8", "utf-8", "unicode", "auto"),
    "statement_cache_size": ("0",),
    "prepared_statement_cache_size": ("0",),
}
_NUMBERS = {"connect_timeout": "seconds", "tcp_user_timeout": "milliseconds"}
_KNOWN_PARAMETERS = (
    _DRIVER_PARAMETERS
    | _IGNORED_PARAMETERS
    | _ALLOWED_VALUES.keys()
    | _NUMBERS.keys()
    | {"application_name", "fallback_application_name", "options", "target_session_attrs"}
)


@dataclass(frozen=True, kw_only=True)
class UrlParameters:
    """What a URL says besides login, hosts and database."""

    tls_mode: str | None = None  # None: as the driver does, `prefer`
    driver_parameters: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # may hold the password of a private key
    server_settings: Mapping[str, str] = field(default_factory=dict)
    session: str | None = None  # target_session_attrs
    connect_timeout: float | None = None  # seconds for each host
    silence_timeout: float | None = None  # seconds; 0: that of the system; None: ours
    is_pooled: bool | None = None  # behind a pooler; None: find out


def parse_parameters(values: Mapping[str, str], session_targets: tuple[str, ...]) -> UrlParameters:
    """Parse the parameters. Raises `ValueError` with a sentence that names the parameter.

    `session_targets`: the values that `target_session_attrs` may have.
    """
    values = {name: value for name, value in values.items() if value}
    for name, value in values.items():
        _check(name, value, session_targets if name == "target_session_attrs" else _ALLOWED_VALUES.get(name))
    mode, authorities = _tls(values)
    driver_parameters = {name: value for name, value in values.items() if name in _DRIVER_PARAMETERS}
    return UrlParameters(
        tls_mode=mode,
        driver_parameters=driver_parameters | ({"sslrootcert": authorities} if authorities else {}),
        server_settings=_server_settings(values),
        session=values.get("target_session_attrs"),
        connect_timeout=float(values.get("connect_timeout", 0)) or None,
        silence_timeout=int(values["tcp_user_timeout"]) / 1000 if "tcp_user_timeout" in values else None,
        is_pooled=_is_pooled(values),
    )


def _check(name: str, value: str, allowed: tuple[str, ...] | None) -> None:
    if name not in _KNOWN_PARAMETERS:
        raise ValueError(f"has the parameter {name}, which Notifier does not know: {_advice(name)}")
    if allowed is not None and value.lower() not in {choice.lower() for choice in allowed}:
        raise ValueError(f"has {name} with an invalid value: it must be one of {', '.join(allowed)}")
    if name in _NUMBERS and not (value.isascii() and value.isdigit()):
        raise ValueError(f"has {name} with an invalid value: it must be a whole number of {_NUMBERS[name]}")
    if name in _FILES and not (name == "sslrootcert" and value == SYSTEM_CERTIFICATES):
        _check_file(name, value)


def _check_file(name: str, value: str) -> None:
    path = Path(value)
    if not path.is_file():
        raise ValueError(f"has {name}={value}, and there is no such file")
    if not os.access(path, os.R_OK):
        raise ValueError(f"has {name}={value}, which this user cannot read")


def _advice(name: str) -> str:
    if name in _REPLACEMENTS:
        return _REPLACEMENTS[name]
    names = difflib.get_close_matches(name, _KNOWN_PARAMETERS, n=1)
    return f"did you mean {names[0]}?" if names else f"leave it out; {_OPTIONS}"


def _tls(values: Mapping[str, str]) -> tuple[str | None, str | None]:
    switch = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
    choice = (values.get("sslmode") or values.get("ssl", "")).lower()
    mode = switch.get(choice, choice) or None
    authorities = values.get("sslrootcert")
    if authorities == SYSTEM_CERTIFICATES:
        if mode not in {None, "verify-full"}:
            raise ValueError(f"has sslrootcert={SYSTEM_CERTIFICATES}, which needs sslmode=verify-full")
        mode = "verify-full"
    if values.get("channel_binding", "").lower() == "require":
        if mode == "disable":
            raise ValueError("has channel_binding=require, which needs TLS, and sslmode=disable")
        # The driver has no channel binding. Verifying the certificate protects against the same attack.
        if not (mode in {"verify-ca", "verify-full"} or (mode == "require" and authorities)):
            mode, authorities = "verify-full", authorities or SYSTEM_CERTIFICATES
    if values.get("sslnegotiation") == "direct" and TLS_MODES.index(mode or "prefer") < TLS_MODES.index("require"):
        raise ValueError("has sslnegotiation=direct, which needs sslmode=require, verify-ca or verify-full")
    return mode, authorities


def _server_settings(values: Mapping[str, str]) -> dict[str, str]:
    name = values.get("application_name") or values.get("fallback_application_name")
    options = values.get("options", "").replace("+", " ").strip()  # forms encode a blank as a plus
    return ({"application_name": name} if name else {}) | ({"options": options} if options else {})


def _is_pooled(values: Mapping[str, str]) -> bool | None:
    if "pgbouncer" in values:
        return values["pgbouncer"].lower() in {"true", "1"}
    return True if values.keys() & {"statement_cache_size", "prepared_statement_cache_size"} else None
