"""Wrong variables, a wrong `.env` and wrong files of secrets: one line with cause and act, exit 2."""

from pathlib import Path

import pytest
from support.mistakes import SECRET, Mistake, assert_explained

LOGIN = {"SMTP__HOST": "smtp.example.com", "SMTP__USERNAME": "shop", "SMTP__PASSWORD": SECRET}


def _set(name: str, value: str, cause: str, act: str, **more: str) -> Mistake:
    """A wrong variable."""
    return Mistake("db check", cause, act, {name: value} | more)


def _dotenv(content: bytes, cause: str, act: str) -> Mistake:
    """A wrong `.env`."""
    return Mistake("db check", cause, act, files={".env": content})


def _secret(content: bytes | None, cause: str, act: str, path: str = "secret") -> Mistake:
    """A wrong file of a secret."""
    return Mistake("db check", cause, act, {"METRICS_TOKEN_FILE": path}, {"secret": content})


MISTAKES = [
    # misspelt
    _set("SMTP_HOST", "h", "NOTIFIER_SMTP_HOST: there is no such setting", "did you mean NOTIFIER_SMTP__HOST?"),
    _set("DATABSE_URL", SECRET, "NOTIFIER_DATABSE_URL", "did you mean NOTIFIER_DATABASE_URL?"),
    _set("SMTP__PASWORD", SECRET, "NOTIFIER_SMTP__PASWORD", "did you mean NOTIFIER_SMTP__PASSWORD?"),
    _set("PORT", "8000", "NOTIFIER_PORT", "did you mean NOTIFIER_API__PORT?"),
    _set("FROM_FILE", "x", "only a secret can be read from a file", "set NOTIFIER_FROM"),
    _set("XYZZY", SECRET, "NOTIFIER_XYZZY", "remove it"),
    # of the wrong type or form
    _set("SMTP__PORT", "smtp", "NOTIFIER_SMTP__PORT", "must be a whole number"),
    _set("SMTP__PORT", "58.7", "'58.7'", "must be a whole number"),
    _set("SMTP__PORT", "70000", "NOTIFIER_SMTP__PORT", "must be at most 65535"),
    _set("API__PORT", "eighty", "NOTIFIER_API__PORT", "must be a whole number"),
    _set("SENDER__LEASE", "soon", "NOTIFIER_SENDER__LEASE", "must be a number"),
    _set("LOG_LEVEL", "loud", "NOTIFIER_LOG_LEVEL", "must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    _set("SMTP__SECURITY", "ssl", "NOTIFIER_SMTP__SECURITY", "must be 'none', 'starttls' or 'tls'"),
    _set("SMTP", "smtp.example.com", "NOTIFIER_SMTP: is a group", "set NOTIFIER_SMTP__HOST"),
    _set("SMTP__HOST", "smtp.example.com:587", "NOTIFIER_SMTP__HOST", "the port has its own variable"),
    _set("SMTP__HOST", "smtps://smtp.example.com", "NOTIFIER_SMTP__HOST", "such as smtp.example.com"),
    _set("SMTP__HELO_NAME", "my host", "NOTIFIER_SMTP__HELO_NAME", "must be a host name"),
    _set("PUBLIC_URL", "notifier.example.com", "NOTIFIER_PUBLIC_URL", "such as https://notifier.example.com"),
    _set("CONSOLE__URL", "http://notifier.example.com", "NOTIFIER_CONSOLE__URL", "must begin with https://"),
    _set("API__IDEMPOTENCY_DAYS", "1", "NOTIFIER_API__IDEMPOTENCY_DAYS", "must be at least 7"),
    _set("API__ALLOWED_HEADERS", "Bcc", "NOTIFIER_API__ALLOWED_HEADERS", "X-"),
    _set("SECRET_KEY", SECRET, "NOTIFIER_SECRET_KEY", "openssl rand -base64 32"),
    # who may be mailed
    _set("RECIPIENTS__MODE", "everyone", "NOTIFIER_RECIPIENTS__MODE", "must be 'live', 'allow' or 'redirect'"),
    _set("RECIPIENTS__MODE", "redirect", "redirect needs an address", "NOTIFIER_RECIPIENTS__REDIRECT_TO"),
    _set("RECIPIENTS__REDIRECT_TO", "nobody", "NOTIFIER_RECIPIENTS__REDIRECT_TO", "such as ada@example.com"),
    _set("RECIPIENTS__ALLOW", "example.org", "NOTIFIER_RECIPIENTS__ALLOW: 'example.org'", "such as @example.org"),
    # what does not go together
    _set("SMTP__SECURITY", "none", "never sent in clear", "set NOTIFIER_SMTP__SECURITY to starttls or tls", **LOGIN),
    _set("SMTP__USERNAME", "shop", "go together", "set both, or neither"),
    _set("SMTP__PASSWORD", "changeme", "is a placeholder", "set the real one", SMTP__USERNAME="u", SMTP__HOST="h"),
    _set("METRICS_TOKEN", "secret", "NOTIFIER_METRICS_TOKEN is a placeholder", "set the real one"),
    _set("CONSOLE__OIDC_ISSUER", "https://id.example", "go together", "set both, or neither"),
    # .env
    _dotenv(b"NOTIFIER_SMTP__PORTT=25\n", "NOTIFIER_SMTP__PORTT", "did you mean NOTIFIER_SMTP__PORT? (in .env)"),
    _dotenv(b"NOTIFIER_SMTP__PORT=smtp\n", "(in .env)", "must be a whole number"),
    _dotenv(b"A=1\n\nNOTIFIER_FROM\n", ".env, line 3", "write NAME=value"),
    _dotenv(f"A=1\nNOTIFIER_SMTP__PASSWORD='{SECRET}\n".encode(), ".env, line 2", "close its quotes"),
    _dotenv("NOTIFIER_FROM=é\n".encode("latin-1"), "line 1 is not UTF-8", "save the file as UTF-8"),
    # files of secrets
    _secret(b"x", "NOTIFIER_METRICS_TOKEN_FILE: missing cannot be read", "create it, or correct the path", "missing"),
    _secret(b"x", "there is no such file", "correct the path", "secret/token"),
    _secret(None, "it is a directory", "correct the path"),
    _secret(b"\n", "NOTIFIER_METRICS_TOKEN_FILE: secret is empty", "write the secret into it"),
    _secret(b"\xff\xfe", "is not UTF-8", "save the file as UTF-8"),
    _secret(b"x" * 70_000, "larger than 64 KiB", "name the right file"),
    _secret(b"changeme", "NOTIFIER_METRICS_TOKEN is a placeholder", "set the real one"),
    _set("METRICS_TOKEN", SECRET, "are both set", "remove one of them", METRICS_TOKEN_FILE="secret"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_is_explained(mistake: Mistake, tmp_path: Path) -> None:
    """One line on stderr with the cause and what to do, exit 2."""
    assert_explained(mistake, tmp_path)
