"""The rendering child: compiles and renders the templates that it is sent, and answers; losing it loses no data.

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

from notifier.mail.attachment_parts import get_filled_size
from notifier.mail.limits import TIME_LIMIT
from notifier.mail.mail_parts import (
    LiteralContent,
    MailHeader,
    MailParts,
    MailWithGaps,
    RenderedMail,
    build_image_attachments,
    list_shown_images,
)
from notifier.mail.mime_document import build_mime_message, build_mime_with_gaps
from notifier.mail.plain_text.text_builder import build_plain_text
from notifier.rendering.protocol import (
    CheckRequest,
    ChildAnswer,
    ChildRequest,
    CompareAnswer,
    CompareRequest,
    MailComparison,
    PreviewAnswer,
    PreviewRequest,
    RenderBatchAnswer,
    RenderJob,
)
from notifier.rendering.source_check import check_source, compare_versions, describe_mail_error
from notifier.template_language.compiled_version import CompiledVersion
from notifier.template_language.error_description import PartError, describe_error_without_place
from notifier.template_language.template_source import RenderFault
from notifier.template_language.variable_schema import VARIABLES_DECODER

FRAME_HEADER = struct.Struct("!I")
READY_FRAME = FRAME_HEADER.pack(0)
"""Sent once when the child is ready: starting it must not count against the first mail's time."""
MAX_MEMORY_BYTES = 1024 * 1024 * 1024  # bytes of address space; a runaway render fails instead of taking the machine
MAX_BUSY_SECONDS = 10.0
"""Seconds after which SIGALRM ends a busy child: its parent would have killed it before, and so must be dead."""
MAX_REQUEST_CPU_SECONDS = 0.1
"""Processor seconds after which the other mails of a request are left out, because another service may wait."""
MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""Bytes of mail in one answer after which the others are left out as well."""
MALLOC_WARMUP_BYTES = 16 * 1024 * 1024
"""Bytes that are allocated and freed once, so that glibc keeps twice as much. Else it may return the memory of 25 mails
to the system after each answer, and getting it again takes a tenth of the child's time.
"""
MAX_KNOWN_VERSIONS = 256  # compiled versions kept

CONTENT_DECODER = msgspec.json.Decoder(LiteralContent)


class RenderingChild:
    """Answers requests one after the other."""

    def __init__(
        self, public_url: str | None = None, *, seconds: float = MAX_REQUEST_CPU_SECONDS, size: int = MAX_ANSWER_BYTES
    ) -> None:
        self._seconds, self._size = seconds, size  # that a request has
        self._public_url = public_url  # where linked images are
        self._known: OrderedDict[str, CompiledVersion] = OrderedDict()

    def answer_request(self, request: ChildRequest) -> ChildAnswer:
        """Answer a request; never raises for what a template does wrong."""
        if isinstance(request, CheckRequest):
            return check_source(request.source, self._public_url)
        for version, source in request.sources.items():
            self._known[version] = CompiledVersion(source, self._public_url)
        if isinstance(request, PreviewRequest):
            answer: ChildAnswer = self._preview_mail(request.job)
        elif isinstance(request, CompareRequest):
            answer = self._compare_versions(request)
        else:
            answer = self._render_batch(request.jobs)
        while len(self._known) > MAX_KNOWN_VERSIONS:
            self._known.popitem(last=False)
        return answer

    def _render_batch(self, jobs: Iterable[RenderJob]) -> RenderBatchAnswer:
        """Render the first mails, at least one, until the request's time or bytes are used up."""
        results: list[RenderedMail | MailWithGaps | RenderFault] = []
        seconds: list[float] = []
        size, start = 0, process_time()
        before = start
        for job in jobs:
            compiled = self._known.get(job.version) if job.version is not None else None
            locales = compiled.compiled_locales if compiled is not None else 0
            mail = self._render_mail(job)
            is_first = compiled is not None and compiled.compiled_locales > locales
            size += 0 if isinstance(mail, RenderFault) else get_filled_size(mail)
            after = process_time()
            results.append(mail)
            seconds.append(0.0 if is_first else after - before)
            before = after
            if after - start > self._seconds or size > self._size:
                break
        return RenderBatchAnswer(results=results, seconds=seconds)

    def _render_mail(self, job: RenderJob) -> RenderedMail | MailWithGaps | RenderFault:
        try:
            return self._build_message(job, *self._render_parts(job))
        except Exception as error:  # noqa: BLE001 - one bad mail must not take its neighbours along
            return describe_mail_error(error)

    def _preview_mail(self, job: RenderJob) -> PreviewAnswer | RenderFault:
        try:
            header, parts = self._render_parts(job)
            return PreviewAnswer(parts=parts, mail=self._build_message(job, header, parts))
        except Exception as error:  # noqa: BLE001 - the fault is shown to the person who asked
            return describe_mail_error(error)

    def _compare_versions(self, request: CompareRequest) -> CompareAnswer:
        before, after = (self._get_version(key) if key else None for key in (request.before, request.after))
        results: list[MailComparison | None] = []
        for payload in request.payloads:
            results.append(compare_versions(before, after, payload, with_diffs=request.with_diffs))
            if results[-1] is not None and results[-1].is_slow:
                break
        return CompareAnswer(results=results + [None] * (len(request.payloads) - len(results)))

    def _get_version(self, key: str) -> CompiledVersion:
        self._known.move_to_end(key)
        return self._known[key]

    def _render_parts(self, job: RenderJob) -> tuple[MailHeader, MailParts]:
        if job.version is None:
            return job.header, _build_literal_parts(CONTENT_DECODER.decode(job.content or "{}"))
        compiled, values = self._get_version(job.version), VARIABLES_DECODER.decode(job.variables)
        return compiled.add_unsubscribe_header(job.header, values), compiled.render(job.locale, values)

    def _build_message(self, job: RenderJob, header: MailHeader, parts: MailParts) -> RenderedMail | MailWithGaps:
        assets = self._known[job.version].source.assets if job.version is not None else {}
        if assets and (names := list_shown_images(assets, parts.html)):
            files = [*job.attachments, *build_image_attachments(assets, names)]
            return replace(build_mime_with_gaps(header, parts, files), images=names)
        if job.attachments:
            return build_mime_with_gaps(header, parts, job.attachments)
        return build_mime_message(header, parts)


def _build_literal_parts(content: LiteralContent) -> MailParts:
    """Build the parts as their caller wrote them; only a missing text part is generated."""
    if content.text is not None:
        return MailParts(subject=content.subject, html=content.html, text=content.text)
    if content.html is None:
        raise PartError(RenderFault(part="content", line=None, message="there is neither HTML nor text"))
    try:
        with TIME_LIMIT.part():
            text = build_plain_text(content.html)
    except Exception as error:
        raise PartError(describe_error_without_place(error, "content")) from error
    return MailParts(subject=content.subject, html=content.html, text=text)


def serve_requests(connection: socket.socket, nice: int = 0, public_url: str | None = None) -> None:
    """Answer requests from the socket until the parent closes it. Linked images are below `public_url`."""
    confine_child(nice, MAX_MEMORY_BYTES)
    bytes(MALLOC_WARMUP_BYTES)  # never touched, so that it costs nothing
    TIME_LIMIT.set_up()
    child = RenderingChild(public_url)
    decoder = msgspec.msgpack.Decoder(ChildRequest)
    encoder = msgspec.msgpack.Encoder()
    frame = bytearray(FRAME_HEADER.size)  # one buffer for all answers: it keeps the size of the last one
    with connection, contextlib.suppress(ConnectionError):  # the parent may go in the middle of an answer
        connection.sendall(READY_FRAME)
        while (payload := _read_frame(connection)) is not None:
            signal.setitimer(signal.ITIMER_REAL, MAX_BUSY_SECONDS)
            answer = child.answer_request(decoder.decode(payload))
            TIME_LIMIT.stop()
            encoder.encode_into(answer, frame, FRAME_HEADER.size)
            FRAME_HEADER.pack_into(frame, 0, len(frame) - FRAME_HEADER.size)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(frame)


def confine_child(nice: int, memory_bytes: int) -> None:
    """Give this child its priority and its limit of address space; it ends when its parent wants, or by SIGALRM."""
    silence_stderr()
    os.nice(nice)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def silence_stderr() -> None:
    """Keep the output of this process out of the log: a library that fails here quotes variables."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


def _read_frame(connection: socket.socket) -> bytes | None:
    head = _read_exactly(connection, FRAME_HEADER.size)
    return None if head is None else _read_exactly(connection, FRAME_HEADER.unpack(head)[0])


def _read_exactly(connection: socket.socket, size: int) -> bytes | None:
    """Read `size` bytes; return None if the parent closed the socket before."""
    read = connection.recv(size, socket.MSG_WAITALL)
    return read if len(read) == size else None
