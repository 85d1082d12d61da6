"""Valid and invalid certificates for scripted relays, from a certificate authority for tests."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


class CertificateAuthority:
    """A certificate authority. Its own certificate is in `ca_file`."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(self.ca_file)

    def issue_server_context(self, name: str = "127.0.0.1", *, expired: bool = False) -> ssl.SSLContext:
        """Issue a certificate for this name or address, and return the server's TLS context."""
        ends = datetime.now(UTC) - timedelta(days=1) if expired else None
        begins = datetime.now(UTC) - timedelta(days=2) if expired else None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(name, not_before=begins, not_after=ends).configure_cert(context)
        return context
