"""Says what an operator can do about a relay that cannot be used, by the kind of the error."""

import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import aiosmtplib

from notifier.smtp_settings import SmtpSecurity, SmtpSettings

_WRONG_HOST, _WRONG_ADDRESS, _EXPIRED, _NOT_YET_VALID = 62, 64, 10, 9
"""OpenSSL's codes for faults of a certificate (`openssl-verification-options`, X509_V_ERR_…)."""
_SUBMISSION = "587 with STARTTLS and 465 with NOTIFIER_SMTP__SECURITY=tls are usual"
_WRONG_PORT = (
    "nothing listens there: start the relay (in development `notifier inbox`), or correct NOTIFIER_SMTP__HOST and"
    f" NOTIFIER_SMTP__PORT ({_SUBMISSION})"
)
_FIREWALL = (
    "check the host and the port; a firewall may be in the way, and many clouds block port 25: try"
    " NOTIFIER_SMTP__PORT=587"
)
_WRONG_LOGIN = (
    "correct NOTIFIER_SMTP__USERNAME and NOTIFIER_SMTP__PASSWORD; many providers want an API key or an app password"
    " instead of the account's"
)
_NO_STARTTLS = (
    "check the port; if it is 465, set NOTIFIER_SMTP__SECURITY=tls; only for a relay in a network that you trust, set"
    " NOTIFIER_SMTP__SECURITY=none"
)
_NO_LOGIN = (
    "use the port at which it takes logins (587 is usual), or remove NOTIFIER_SMTP__USERNAME and"
    " NOTIFIER_SMTP__PASSWORD"
)
_UNKNOWN_HOST = "correct NOTIFIER_SMTP__HOST, or check the name servers of this machine"
_UNKNOWN_AUTHORITY = "name the file of its authority's certificate in NOTIFIER_SMTP__CA_FILE"
_REFUSED_ADDRESS = "it refuses this machine: ask its operator to let this address in, or log in at its port 587"


def find_advice(error: BaseException | None, settings: SmtpSettings) -> str | None:
    """Find the advice for an error of `SmtpConnector`. None: its message says what to do."""
    for cause in _list_causes(error):
        for kind, advise in _ADVICE:
            if isinstance(cause, kind) and (advice := advise(cause, settings)):
                return advice
    return None


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    """List an error and what has caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _advise_on_certificate(error: ssl.SSLCertVerificationError, settings: SmtpSettings) -> str:
    if error.verify_code in {_WRONG_HOST, _WRONG_ADDRESS}:
        return f"set NOTIFIER_SMTP__HOST to a name in its certificate, which {settings.host} is not"
    if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
        return "check the clock of this machine, or ask the relay's operator for a valid certificate"
    return _UNKNOWN_AUTHORITY


def _advise_on_tls(_error: BaseException, settings: SmtpSettings) -> str:
    if settings.effective_security is SmtpSecurity.TLS:
        return "if the port expects STARTTLS (587 is usual), set NOTIFIER_SMTP__SECURITY=starttls"
    return "if the port expects TLS at once (465 is usual), set NOTIFIER_SMTP__SECURITY=tls"


def _advise_on_reply(error: aiosmtplib.SMTPResponseException, _settings: SmtpSettings) -> str:
    if 400 <= error.code < 500:  # noqa: PLR2004
        return "try again later; if it stays, ask the relay's operator"
    return _WRONG_LOGIN if isinstance(error, aiosmtplib.SMTPAuthenticationError) else _REFUSED_ADDRESS


def _advise_on_silence(error: BaseException, settings: SmtpSettings) -> str:
    return f"it takes connections but does not reply: {_advise_on_tls(error, settings)}; else look at its log"


def _advise_on_closing(error: BaseException, settings: SmtpSettings) -> str:
    return f"{_advise_on_tls(error, settings)}; else ask its operator to let this machine in"


def _advise_on_timeout(error: BaseException, settings: SmtpSettings) -> str | None:
    if isinstance(error, aiosmtplib.SMTPException):  # its cause tells what was waited for
        return None
    is_tls = settings.effective_security is SmtpSecurity.TLS
    return f"{_FIREWALL}; {_advise_on_tls(error, settings)}" if is_tls else _FIREWALL


def _advise_on_network(error: OSError, _settings: SmtpSettings) -> str | None:
    """An error about several addresses of a host has no number of its own, but names those of its causes."""
    if error.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return _WRONG_PORT
    unreachable = error.errno in {errno.ENETUNREACH, errno.EHOSTUNREACH}
    return "check the network of this machine, and NOTIFIER_SMTP__HOST" if unreachable else None


def _advise_on_extension(error: BaseException, _settings: SmtpSettings) -> str | None:
    """The library raises its base class for a relay without STARTTLS."""
    return _NO_STARTTLS if type(error) is aiosmtplib.SMTPException else None


_ADVICE: tuple[tuple[type[BaseException], Callable[[Any, SmtpSettings], str | None]], ...] = (
    (ssl.SSLCertVerificationError, _advise_on_certificate),
    (ssl.SSLError, _advise_on_tls),
    (socket.gaierror, lambda _error, _settings: _UNKNOWN_HOST),
    (aiosmtplib.SMTPResponseException, _advise_on_reply),
    (aiosmtplib.SMTPNotSupported, lambda _error, _settings: _NO_LOGIN),
    (aiosmtplib.SMTPReadTimeoutError, _advise_on_silence),
    (aiosmtplib.SMTPServerDisconnected, _advise_on_closing),
    (ConnectionResetError, _advise_on_closing),
    (TimeoutError, _advise_on_timeout),
    (OSError, _advise_on_network),
    (aiosmtplib.SMTPException, _advise_on_extension),
)
"""By the kind of the error; the first that has advice wins."""
