"""Reads files of trusted certificates. An error says why a file cannot be used."""

import asyncio
import ssl
from pathlib import Path

from notifier.errors import ConfigurationError

SMTP_VARIABLE = "NOTIFIER_SMTP__CA_FILE"
WEBHOOKS_VARIABLE = "NOTIFIER_WEBHOOKS__CA_FILE"
FEEDS_VARIABLE = "NOTIFIER_FEEDS__CA_FILE"
_CERTIFICATES = tuple(b"-----BEGIN %bCERTIFICATE-----" % kind for kind in (b"", b"TRUSTED ", b"X509 "))
_PRIVATE_KEY = b"PRIVATE KEY-----"


def build_tls_context(ca_file: Path | None, variable: str) -> ssl.SSLContext:
    """Build a client context that trusts the file's certificates, or without a file the system's.

    Slow: call it in a thread. Raises `ConfigurationError` with the variable, the file, the reason and what to do.
    """
    try:
        if ca_file is not None and (reason := _find_fault(ca_file.read_bytes())):
            raise _build_error(ca_file, variable, reason)
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except ssl.SSLError as error:
        raise _build_error(ca_file, variable, "a certificate in it cannot be read") from error
    except FileNotFoundError as error:
        raise _build_error(ca_file, variable, "there is no such file") from error
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
        raise _build_error(ca_file, variable, reason) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class LazyTlsContext:
    """A client context that is built when it is first needed: reading the system's certificates takes 20 ms."""

    def __init__(self, ca_file: Path | None, variable: str) -> None:
        self._ca_file = ca_file
        self._variable = variable
        self._context: ssl.SSLContext | None = None

    async def get_context(self) -> ssl.SSLContext:
        """Return the context. Raises `ConfigurationError`, also at the next call, until the file can be used."""
        if self._context is None:
            self._context = await asyncio.to_thread(build_tls_context, self._ca_file, self._variable)
        return self._context


def _find_fault(data: bytes) -> str | None:
    if any(begin in data for begin in _CERTIFICATES):
        return None
    if not data.strip():
        return "it is empty"
    if _PRIVATE_KEY in data:
        return "it holds a private key and no certificate"
    return "it contains no certificate in PEM format"


def _build_error(ca_file: Path | None, variable: str, reason: str) -> ConfigurationError:
    if ca_file is None:
        return ConfigurationError(
            f"the system's certificates cannot be used: {reason}. Install them, or set {variable}"
        )
    return ConfigurationError(
        f"{variable}: {ca_file} cannot be used: {reason}."
        " Give a file of the authorities' certificates (PEM), or unset it to trust the system's"
    )
