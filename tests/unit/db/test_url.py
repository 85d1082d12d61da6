"""Parsing database URLs of hosting services, and the messages about wrong ones."""

from pathlib import Path

import pytest

from notifier.db.database_url import DatabaseUrlError, PostgresAddress, SqliteAddress, parse_database_url

SECRET = "s3cr3t"  # in every password below
ENCODED = "percent-encoded"


def _postgres(url: str) -> PostgresAddress:
    address = parse_database_url(url)
    assert isinstance(address, PostgresAddress)
    return address


@pytest.mark.parametrize(
    ("url", "hosts", "user", "password", "database"),
    [
        ("postgres://u:p@ec2-1.example.com:5432/d1", [("ec2-1.example.com", 5432)], "u", "p", "d1"),
        ("postgresql://u:p@dpg-abc-a/name_x", [("dpg-abc-a", 5432)], "u", "p", "name_x"),
        ("postgresql+asyncpg://u:p@h:6543/d", [("h", 6543)], "u", "p", "d"),
        ("POSTGRESQL+psycopg2://u:p@h/d", [("h", 5432)], "u", "p", "d"),
        (" postgresql://u:p@h/d\n", [("h", 5432)], "u", "p", "d"),
        ("postgresql://u%40server:p%2F%23%3F%25w@h/d%20x", [("h", 5432)], "u@server", "p/#?%w", "d x"),
        ("postgresql://u:50%off@h/d", [("h", 5432)], "u", "50%off", "d"),
        ("postgresql://u:a:b?c#d@h/d", [("h", 5432)], "u", "a:b?c#d", "d"),
        ("postgresql://u:@h/d", [("h", 5432)], "u", None, "d"),
        ("postgresql://h", [("h", 5432)], None, None, None),
        ("postgresql:///d", [], None, None, "d"),
        ("postgresql://u@h1:1,h2:2,h3/d", [("h1", 1), ("h2", 2), ("h3", 5432)], "u", None, "d"),
        ("postgresql://u@h1,h2/d?port=1,2", [("h1", 1), ("h2", 2)], "u", None, "d"),
        ("postgresql://u@h1,h2/d?port=7", [("h1", 7), ("h2", 7)], "u", None, "d"),
        ("postgresql://u@/d?host=h1:1&host=h2:2", [("h1", 1), ("h2", 2)], "u", None, "d"),
        ("postgresql:///d?host=h&user=a@b&password=p+q&port=9", [("h", 9)], "a@b", "p+q", "d"),
        ("postgresql://u@/d?host=/var/run/postgresql", [("/var/run/postgresql", 5432)], "u", None, "d"),
        ("postgresql://u@%2Fvar%2Frun%2Fpostgresql/d", [("/var/run/postgresql", 5432)], "u", None, "d"),
        ("postgresql://u@[2001:db8::1]:6432/d", [("2001:db8::1", 6432)], "u", None, "d"),
        ("postgresql://u@[::1],h/d", [("::1", 5432), ("h", 5432)], "u", None, "d"),
        ("postgresql:///?host=::1&dbname=d", [("::1", 5432)], None, None, "d"),
    ],
)
def test_who_and_where(
    url: str, hosts: list[tuple[str, int]], user: str | None, password: str | None, database: str | None
) -> None:
    """Hosts, ports, sockets, users and passwords are parsed as by libpq."""
    address = _postgres(url)
    assert (list(address.hosts), address.user, address.password) == (hosts, user, password)
    assert address.database == database
    assert "password" not in repr(address)


@pytest.mark.parametrize(
    ("query", "mode", "authorities"),
    [
        ("sslmode=disable", "disable", None),
        ("sslmode=allow", "allow", None),
        ("sslmode=prefer", "prefer", None),
        ("sslmode=require", "require", None),
        ("SSLMODE_NOT_GIVEN", None, None),
        ("ssl=true", "require", None),
        ("ssl=false", "disable", None),
        ("ssl=verify-full&sslrootcert=system", "verify-full", "system"),
        ("sslrootcert=system", "verify-full", "system"),
        ("sslmode=verify-ca&sslrootcert=FILE", "verify-ca", "FILE"),
        ("sslmode=require&sslrootcert=FILE", "require", "FILE"),
        ("sslmode=require&channel_binding=prefer", "require", None),
        ("sslmode=require&channel_binding=require", "verify-full", "system"),
        ("sslmode=require&channel_binding=require&sslrootcert=FILE", "require", "FILE"),
    ],
)
def test_how_it_is_protected(query: str, mode: str | None, authorities: str | None, tmp_path: Path) -> None:
    """`sslmode` is as in libpq; `channel_binding=require` verifies the certificate instead."""
    file = tmp_path / "ca.pem"
    file.touch()
    text = "" if query == "SSLMODE_NOT_GIVEN" else "?" + query.replace("FILE", str(file))
    parameters = _postgres(f"postgresql://u@h/d{text}").parameters
    assert parameters.tls_mode == mode
    expected = str(file) if authorities == "FILE" else authorities
    assert parameters.driver_parameters.get("sslrootcert") == expected


@pytest.mark.parametrize(
    ("query", "settings"),
    [
        ("application_name=shop", {"application_name": "shop"}),
        ("fallback_application_name=shop", {"application_name": "shop"}),
        ("options=-c%20search_path%3Dmail", {"options": "-c search_path=mail"}),
        ("options=-c+search_path%3Dmail", {"options": "-c search_path=mail"}),
        ("options=endpoint%3Dep-cool-1", {"options": "endpoint=ep-cool-1"}),
        ("options=project=ep-cool-1", {"options": "project=ep-cool-1"}),
        ("keepalives=1&keepalives_idle=30&tcp_user_timeout=9&gssencmode=prefer&client_encoding=UTF8", {}),
        ("application_name=&sslmode=&options=", {}),
    ],
)
def test_what_the_server_is_told(query: str, settings: dict[str, str]) -> None:
    """Application name and options reach the server; an empty parameter counts as missing."""
    assert _postgres(f"postgresql://u@h/d?{query}").parameters.server_settings == settings


SILENCES = {"tcp_user_timeout=0": 0.0, "tcp_user_timeout=20000": 20.0}


def test_other_parameters() -> None:
    """Timeout, target session and pooler are recognised in each spelling."""
    parameters = _postgres("postgresql://u@h/d?connect_timeout=10&target_session_attrs=read-write").parameters
    assert (parameters.connect_timeout, parameters.session, parameters.is_pooled) == (10.0, "read-write", None)
    assert _postgres("postgresql://u@h/d?connect_timeout=0").parameters.connect_timeout is None
    silences = [_postgres(f"postgresql://u@h/d?{query}").parameters.silence_timeout for query in ("", *SILENCES)]
    assert silences == [None, *SILENCES.values()]
    assert _postgres("postgresql://u@h1,h2/d").parameters.session == "read-write"
    assert _postgres("postgresql://u@h1,h2/d?target_session_attrs=any").parameters.session == "any"
    for query, pooled in (("pgbouncer=true", True), ("pgbouncer=false", False), ("statement_cache_size=0", True)):
        assert _postgres(f"postgresql://u@h/d?{query}").parameters.is_pooled is pooled


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://root@127.0.0.1/x", "begins with mysql://"),
        ("cockroachdb://u:s3cr3t@h/d", "postgresql://"),
        ("host=h dbname=d password=s3cr3t", "is no URL"),
        ("jdbc:postgresql://h/d?password=s3cr3t", "is no URL"),
        ("'postgresql://u:s3cr3t@h/d'", "is no URL"),
        ("h/d", "is no URL"),
        ("postgresql://u:s3cr3t\x00@h/d", "is no URL"),
        ("postgresql://u:s3cr3t%00@h/d", "control character"),
        ("postgresql://ada:s3cr3t/w#x@127.0.0.1/postgres", ENCODED),
        ("postgresql://ada:12/s3cr3t@127.0.0.1/postgres", ENCODED),
        ("postgresql://ada:s3cr3t@x@127.0.0.1/postgres", ENCODED),
        ("postgresql://ada:12?s3cr3t/@127.0.0.1/postgres", ENCODED),
        ("postgresql://u:s3cr3t@h/d/e", ENCODED),
        ("postgresql://u:s3cr3t@h/d?sslmode", ENCODED),
        ("postgresql://u:s3cr3t@h:port/d", ENCODED),
        ("postgresql://u:s3cr3t@h:99999/d", "65535"),
        ("postgresql://u:s3cr3t@h1,h2,h3/d?port=1,2", "2 ports for 3 hosts"),
        ("postgresql://u:s3cr3t@h/d?sslmode=required", "disable, allow, prefer, require, verify-ca, verify-full"),
        ("postgresql://u:s3cr3t@h/d?sslmod=require", "did you mean sslmode?"),
        ("postgresql://u:s3cr3t@h/d?sslrootcert=/no/such.pem", "sslrootcert=/no/such.pem, and there is no such file"),
        ("postgresql://u:s3cr3t@h/d?sslmode=require&sslrootcert=system", "sslmode=verify-full"),
        ("postgresql://u:s3cr3t@h/d?sslmode=disable&channel_binding=require", "channel_binding=require"),
        ("postgresql://u:s3cr3t@h/d?sslnegotiation=direct", "sslnegotiation=direct"),
        ("postgresql://u:s3cr3t@h/d?gssencmode=require", "gssencmode"),
        ("postgresql://u:s3cr3t@h/d?connect_timeout=soon", "connect_timeout"),
        ("postgresql://u:s3cr3t@h/d?tcp_user_timeout=5s", "milliseconds"),
        ("postgresql://u:s3cr3t@h/d?target_session_attrs=master", "target_session_attrs"),
        ("postgresql://u:s3cr3t@h/d?target_session_attrs=standby", "any, primary, read-write"),
        ("postgresql://u:s3cr3t@h/d?client_encoding=latin1", "client_encoding"),
        ("postgresql://u:s3cr3t@h/d?pgbouncer=true&connection_limit=1", "connection_limit"),
        ("postgresql://u:s3cr3t@h/d?sslaccept=strict", "sslmode=verify-full"),
        ("postgresql://u:s3cr3t@h/d?schema=mail", "search_path%3DNAME"),
        ("postgresql://u:s3cr3t@h/d?work_mem=4MB", "options=-c%20NAME%3DVALUE"),
        ("sqlite://", "must name a file"),
        ("sqlite://x.sqlite3", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:///x.sqlite3?mode=ro", "%3F"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(url: str, words: str) -> None:
    """The message begins with the variable, says what to write, and contains no password."""
    with pytest.raises(DatabaseUrlError) as raised:
        parse_database_url(url)
    text = str(raised.value)
    assert text.startswith("NOTIFIER_DATABASE_URL ")
    assert words in text
    assert "\n" not in text
    assert SECRET not in text
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/x.sqlite3", "var/x.sqlite3"),
        ("sqlite:////srv/x.sqlite3", "/srv/x.sqlite3"),
        ("sqlite+aiosqlite:////srv/a%2Fb%3Fc%23d%25.sqlite3", "/srv/a/b?c#d%.sqlite3"),
        ("sqlite:////srv/100%/ü.sqlite3", "/srv/100%/ü.sqlite3"),
    ],
)
def test_sqlite(url: str, path: str) -> None:
    """Three slashes before a relative path, four before an absolute one."""
    assert parse_database_url(url) == SqliteAddress(path=Path(path))
