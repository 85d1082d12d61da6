"""The rendering child: compiles and renders what it is sent, and answers; it owns nothing that would be missed.

The parent kills it when it overruns. It ignores the terminal's signals and ends when the parent's socket does.
"""

import contextlib
import os
import resource
import signal
import socket
import struct
from collections import OrderedDict
from collections.abc import Iterable
from time import process_time

import msgspec
from msgspec.structs import replace

from notifier.rendering import images
from notifier.rendering.attachments import size_when_filled
from notifier.rendering.check import check
from notifier.rendering.compare import compared, fault_in_mail
from notifier.rendering.job import (
    Answer,
    Batch,
    Check,
    Compare,
    Compared,
    Comparison,
    Content,
    Gapped,
    Job,
    MailHeader,
    Parts,
    Rendered,
    RenderFault,
    Request,
    Show,
    ShownParts,
)
from notifier.rendering.language.faults import PartError, fault_without_place
from notifier.rendering.language.time_limit import TIME_LIMIT
from notifier.rendering.mime import compose, compose_around
from notifier.rendering.plaintext.part import build_text_part
from notifier.rendering.variables import DECODER
from notifier.rendering.version import CompiledVersion

FRAME = struct.Struct("!I")
HELLO = FRAME.pack(0)
"""Sent once when the child is ready: starting it must not count against the first mail's time."""
MEMORY_LIMIT = 1024 * 1024 * 1024  # bytes of address space; a runaway render fails instead of taking the machine
LONGEST_LIFE = 10.0
"""Seconds after which SIGALRM ends a child that is still busy: its parent, who would have killed it, is dead itself."""
REQUEST_SECONDS = 0.1
"""Of processor time, after which the request's other mails are left for its next: another service may wait."""
MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Bytes of mail after which they are left as well."""
KEPT_FREE = 16 * 1024 * 1024
"""Bytes in one piece whose being freed teaches glibc to keep twice as much. Else, as the heap happens to lie, it gives
back what 25 mails took as soon as they are sent, and getting it anew for the next 25 is a tenth of the child's time.
"""
KNOWN_LIMIT = 256  # compiled versions kept

CONTENT = msgspec.json.Decoder(Content)


class Child:
    """Answers requests one after the other."""

    def __init__(
        self, public_url: str | None = None, *, seconds: float = REQUEST_SECONDS, size: int = MAX_ANSWER_BYTES
    ) -> None:
        self._seconds, self._size = seconds, size  # that a request has
        self._public_url = public_url  # where linked images are
        self._known: OrderedDict[str, CompiledVersion] = OrderedDict()

    def answer(self, request: Request) -> Answer:
        """What the request asks for; never raises for what a template does wrong."""
        if isinstance(request, Check):
            return check(request.source, self._public_url)
        for version, source in request.sources.items():
            self._known[version] = CompiledVersion(source, self._public_url)
        if isinstance(request, Show):
            answer: Answer = self._shown(request.job)
        elif isinstance(request, Compare):
            answer = self._compared(request)
        else:
            answer = self._batch(request.jobs)
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)
        return answer

    def _batch(self, jobs: Iterable[Job]) -> Batch:
        """The first mails, as many as the request's time and bytes suffice for; at least one."""
        results: list[Rendered | Gapped | RenderFault] = []
        seconds: list[float] = []
        size, begun = 0, process_time()
        before = begun
        for job in jobs:
            compiled = self._known.get(job.version) if job.version is not None else None
            locales = compiled.compiled_locales if compiled is not None else 0
            mail = self._mail(job)
            is_first = compiled is not None and compiled.compiled_locales > locales
            size += 0 if isinstance(mail, RenderFault) else size_when_filled(mail)
            after = process_time()
            results.append(mail)
            seconds.append(0.0 if is_first else after - before)
            before = after
            if after - begun > self._seconds or size > self._size:
                break
        return Batch(results=results, seconds=seconds)

    def _mail(self, job: Job) -> Rendered | Gapped | RenderFault:
        try:
            return self._composed(job, *self._written(job))
        except Exception as error:  # noqa: BLE001 - one bad mail must not take its neighbours along
            return fault_in_mail(error)

    def _shown(self, job: Job) -> ShownParts | RenderFault:
        try:
            header, parts = self._written(job)
            return ShownParts(parts=parts, mail=self._composed(job, header, parts))
        except Exception as error:  # noqa: BLE001 - it is told to whoever wants to see the mail
            return fault_in_mail(error)

    def _compared(self, request: Compare) -> Comparison:
        before, after = (self._version(key) if key else None for key in (request.before, request.after))
        results: list[Compared | None] = []
        for payload in request.payloads:
            results.append(compared(before, after, payload, with_diffs=request.with_diffs))
            if results[-1] is not None and results[-1].is_slow:
                break
        return Comparison(results=results + [None] * (len(request.payloads) - len(results)))

    def _version(self, key: str) -> CompiledVersion:
        self._known.move_to_end(key)
        return self._known[key]

    def _written(self, job: Job) -> tuple[MailHeader, Parts]:
        if job.version is None:
            return job.header, _literal(CONTENT.decode(job.content or "{}"))
        compiled, values = self._version(job.version), DECODER.decode(job.variables)
        return compiled.header(job.header, values), compiled.render(job.locale, values)

    def _composed(self, job: Job, header: MailHeader, parts: Parts) -> Rendered | Gapped:
        """The mail, with the images that it shows."""
        assets = self._known[job.version].source.assets if job.version is not None else {}
        if assets and (names := images.shown(assets, parts.html)):
            gapped = compose_around(header, parts, [*job.attachments, *images.attached(assets, names)])
            return replace(gapped, images=names)
        return compose_around(header, parts, job.attachments) if job.attachments else compose(header, parts)


def _literal(content: Content) -> Parts:
    """Content as its caller wrote it; only a text part that is missing is made."""
    if content.text is not None:
        return Parts(subject=content.subject, html=content.html, text=content.text)
    if content.html is None:
        raise PartError(RenderFault(part="content", line=None, message="there is neither HTML nor text"))
    try:
        with TIME_LIMIT.part():
            text = build_text_part(content.html)
    except Exception as error:
        raise PartError(fault_without_place(error, "content")) from error
    return Parts(subject=content.subject, html=content.html, text=text)


def serve(connection: socket.socket, nice: int = 0, public_url: str | None = None) -> None:
    """Answer requests from the socket until the parent closes it.

    `nice`: how far it lets others go first; linked images are below `public_url`.
    """
    silence_stderr()
    os.nice(nice)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bytes(KEPT_FREE)  # never touched, hence free of charge
    TIME_LIMIT.set_up()
    child = Child(public_url)
    decoder = msgspec.msgpack.Decoder(Request)
    encoder = msgspec.msgpack.Encoder()
    frame = bytearray(FRAME.size)  # used again and again: it keeps the size of the last answer
    with connection, contextlib.suppress(ConnectionError):  # the parent may go in the middle of an answer
        connection.sendall(HELLO)
        while (payload := _read_frame(connection)) is not None:
            signal.setitimer(signal.ITIMER_REAL, LONGEST_LIFE)
            answer = child.answer(decoder.decode(payload))
            TIME_LIMIT.stop()
            encoder.encode_into(answer, frame, FRAME.size)
            FRAME.pack_into(frame, 0, len(frame) - FRAME.size)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(frame)


def silence_stderr() -> None:
    """Let nothing of this process reach the log: a library that fails here quotes what it was given."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _read_frame(connection: socket.socket) -> bytes | None:
    head = _read_exactly(connection, FRAME.size)
    return None if head is None else _read_exactly(connection, FRAME.unpack(head)[0])


def _read_exactly(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes, or None if the parent closed the socket before."""
    read = connection.recv(size, socket.MSG_WAITALL)
    return read if len(read) == size else None
