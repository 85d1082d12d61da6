"""Replies that are the same for everyone until the next release: each is built once, and has an ETag."""

import hashlib
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response

_PAGE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""The headers of every HTML page, beside its Content-Security-Policy."""
_BASE_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class ConstantReply:
    """A reply with status 200, or 304 for a client that has it already (RFC 9110 §13.1.2)."""

    content: bytes
    headers: dict[str, str]

    def answer(self, request: Request) -> Response:
        """Build the response to one request."""
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if self.headers["ETag"] in known or "*" in known:
            headers = {name: value for name, value in self.headers.items() if name != "Content-Type"}
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=self.headers)


def build_reply(content: bytes, media_type: str, *, max_age: int = 3600, vary: str | None = None) -> ConstantReply:
    """Build a reply that a cache may keep for `max_age` seconds; 0: the cache must ask each time."""
    headers = {
        "Content-Type": media_type,
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "Cache-Control": f"public, max-age={max_age}" if max_age else "no-cache",
    }
    return ConstantReply(content, headers | ({"Vary": vary} if vary else {}))


def build_html_page(text: str, *, policy: str, vary: str | None = None) -> ConstantReply:
    """Build an HTML page that may load only what `policy` (CSP directives) allows."""
    reply = build_reply(text.encode(), "text/html; charset=utf-8", vary=vary)
    reply.headers.update(_PAGE_HEADERS, **{"Content-Security-Policy": f"{_BASE_POLICY}; {policy}"})
    return reply


def accepts_json(request: Request) -> bool:
    """Whether the caller asks for JSON; browsers do not."""
    return "json" in request.headers.get("accept", "")
