"""The refusals that the HTTP server sends itself, without the application: problem documents (RFC 9457) as bytes."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class HttpRefusal:
    """A refusal of the server; the connection is closed after it."""

    status: int
    code: str
    title: str
    retry_after: int | None = None  # seconds; None: the same request is always refused

    def encode(self, detail: str, request_id: str) -> bytes:
        """Encode the whole response."""
        document = asdict(self) | {"type": f"/problems/{self.code}", "detail": detail, "errors": []}
        del document["retry_after"]
        body = json.dumps(document | {"request_id": request_id}).encode()
        fields: dict[str, object] = {
            "Content-Type": "application/problem+json",
            "Content-Length": len(body),
            "X-Request-Id": request_id,
            "Connection": "close",
        }
        if self.retry_after is not None:
            fields["Retry-After"] = self.retry_after
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"HTTP/1.1 {self.status} {self.title}\r\n{lines}\r\n".encode() + body


BAD_REQUEST = HttpRefusal(400, "http_error", "Bad Request")
BAD_REQUEST_DETAIL = "it is not HTTP/1.1, has no Host field, or its header fields are too large"
REQUEST_TIMEOUT = HttpRefusal(408, "request_timeout", "The request came too slowly", retry_after=1)
TOO_MANY_CONNECTIONS = HttpRefusal(503, "too_many_connections", "Too many connections", retry_after=1)
