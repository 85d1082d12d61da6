"""Serves the files that pages load. Their URLs have a hash of their contents, so browsers keep them for ever."""

import gzip
import hashlib
import mimetypes
from functools import cache, cached_property
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from notifier.errors import NotFoundError

HASH_LENGTH = 16
_FOREVER = "public, max-age=31536000, immutable"
SERVED = frozenset({".css", ".js", ".svg", ".png"})


class StaticFolder:
    """A folder of static files, read when they are first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def names(self) -> frozenset[str]:
        """The files that are served, with their paths inside the folder."""
        files = (path for path in self._folder.rglob("*") if path.suffix in SERVED)
        return frozenset(path.relative_to(self._folder).as_posix() for path in files)

    @cached_property
    def digest(self) -> str:
        """The hash of all files: one for the folder, so that a script can import another by its relative path."""
        whole = hashlib.sha256()
        for name in sorted(self.names):
            whole.update(f"{name}\0".encode() + hashlib.sha256(_read_file(self._folder / name)).digest())
        return whole.hexdigest()[:HASH_LENGTH]

    def get_url(self, name: str) -> str:
        """Get the URL of a file. Raises `LookupError` if there is none."""
        if name not in self.names:
            raise LookupError(f"there is no static file {name}")
        return f"/console/static/{self.digest}/{name}"

    def read_text(self, name: str) -> str:
        """Read a file, for a page that cannot load it."""
        return _read_file(self._folder / name).decode()

    async def serve_file(self, request: Request) -> Response:
        """Serve a file, compressed if the browser takes it. Raises `NotFoundError`."""
        name = request.path_params["name"]
        if name not in self.names or request.path_params["digest"] != self.digest:
            raise NotFoundError("there is no such file")
        headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
        content = _read_file(self._folder / name)
        if "gzip" in request.headers.get("accept-encoding", ""):
            content, headers["Content-Encoding"] = _compress_file(self._folder / name), "gzip"
        return Response(content, media_type=mimetypes.guess_type(name)[0], headers=headers)


@cache
def _read_file(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _compress_file(path: Path) -> bytes:
    return gzip.compress(_read_file(path), mtime=0)
