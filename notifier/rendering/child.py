"""The rendering child: compiles and renders what it is sent, and answers; it owns nothing that would be missed.

The parent kills it when it overruns. It ignores the terminal's signals and ends when the parent's socket does.
"""

import contextlib
import resource
import signal
import socket
import struct
from collections import OrderedDict
from typing import Any

import msgspec
from jinja2 import Template, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.exceptions import SecurityError

from notifier.rendering import variables as variable
from notifier.rendering.headers import HeaderValueError
from notifier.rendering.inline import inline_css
from notifier.rendering.job import (
    Answer,
    Batch,
    Check,
    Checked,
    Content,
    Gapped,
    Job,
    Mailbox,
    MailHeader,
    Parts,
    Preview,
    Remark,
    Rendered,
    RenderFault,
    Request,
    Severity,
    Show,
    ShownParts,
)
from notifier.rendering.mime import NulInPartError, compose, compose_around
from notifier.rendering.plaintext import text_of
from notifier.rendering.sandbox import environment, render_limited
from notifier.rendering.source import HTML, LOCALES, PARTS, SUBJECT, TEXT, TemplateSource, choose_locale

FRAME = struct.Struct("!I")
HELLO = FRAME.pack(0)
"""Sent once when the child is ready: starting it must not count against the first mail's time."""
MEMORY_LIMIT = 1024 * 1024 * 1024  # bytes of address space; a runaway render fails instead of taking the machine
LONGEST_LIFE = 10.0
"""Seconds after which SIGALRM ends a child that is still busy: its parent, who would have killed it, is dead itself."""
KEPT_FREE = 16 * 1024 * 1024
"""Bytes in one piece whose being freed teaches glibc to keep twice as much. Else, as the heap happens to lie, it gives
back what 25 mails took as soon as they are sent, and getting it anew for the next 25 is a tenth of the child's time.
"""
KNOWN_LIMIT = 256  # compiled versions kept
GMAIL_CLIP = 90 * 1024  # Gmail hides what follows at about 102 KB

VARIABLES = msgspec.json.Decoder(dict[str, Any])
CONTENT = msgspec.json.Decoder(Content)


class PartError(Exception):
    """A part of a template failed, with the place in words for the people who edit it."""

    def __init__(self, fault: RenderFault) -> None:
        self.fault = fault
        super().__init__(str(fault))


class CompiledVersion:
    """A version's parts, compiled once per locale and kept."""

    def __init__(self, source: TemplateSource) -> None:
        self.source = source
        self._html = environment(source.files, autoescape=True)
        self._plain = environment(source.files, autoescape=False)
        self._available = {tag.lower(): tag for tag in source.locales}
        self._parts: dict[str | None, dict[str, Template]] = {}

    def render(self, requested: str | None, values: dict[str, Any]) -> Preview:
        """The three parts in the closest locale; raises `PartError`."""
        tag = choose_locale(self._available, requested)
        parts = self._compiled(tag)
        values = {**values, "locale": tag or self.source.settings.locale}
        subject = values["subject"] = self._run(parts, SUBJECT, values).strip()
        html = inline_css(self._run(parts, HTML, values))
        text = self._run(parts, TEXT, values) if TEXT in parts else text_of(html)
        return Preview(subject=subject, html=html, text=text)

    def _compiled(self, tag: str | None) -> dict[str, Template]:
        if tag not in self._parts:
            prefix = f"{LOCALES}{tag}/" if tag else ""
            names = {part: f"{prefix}{part}" for part in PARTS if f"{prefix}{part}" in self.source.files}
            self._parts[tag] = {part: self._compile(part, name) for part, name in names.items()}
        return self._parts[tag]

    def _compile(self, part: str, name: str) -> Template:
        try:
            return (self._html if part == HTML else self._plain).get_template(name)
        except TemplateError as error:
            raise PartError(_fault_of(part, error)) from error

    def _run(self, parts: dict[str, Template], part: str, values: dict[str, Any]) -> str:
        try:
            return render_limited(parts[part], values)
        except Exception as error:
            raise PartError(_fault_of(part, error)) from error

    def subject_paths(self) -> list[list[str]]:
        """The variables that any locale's subject reads."""
        names = [name for name in self.source.files if name.rpartition("/")[2] == SUBJECT]
        found = {tuple(p) for name in names for p in variable.paths_in(self._plain.parse(self.source.files[name]))}
        return [list(path) for path in sorted(found)]


class Child:
    """Answers requests one after the other."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, CompiledVersion] = OrderedDict()

    def answer(self, request: Request) -> Answer:
        """What the request asks for; never raises for what a template does wrong."""
        if isinstance(request, Check):
            return check(request.source)
        for version, source in request.sources.items():
            self._known[version] = CompiledVersion(source)
        if isinstance(request, Show):
            answer: Answer = self._shown(request.job)
        else:
            answer = Batch(results=[self._mail(job) for job in request.jobs])
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)
        return answer

    def _mail(self, job: Job) -> Rendered | Gapped | RenderFault:
        try:
            return _composed(job, self._parts(job))
        except Exception as error:  # noqa: BLE001 - one bad mail must not take its neighbours along
            return _fault_in_mail(error)

    def _shown(self, job: Job) -> ShownParts | RenderFault:
        try:
            parts = self._parts(job)
            return ShownParts(parts=parts, mail=_composed(job, parts))
        except Exception as error:  # noqa: BLE001 - it is told to whoever wants to see the mail
            return _fault_in_mail(error)

    def _parts(self, job: Job) -> Parts:
        if job.version is None:
            return _literal(CONTENT.decode(job.content or "{}"))
        compiled = self._known[job.version]
        self._known.move_to_end(job.version)
        return compiled.render(job.locale, VARIABLES.decode(job.variables))


def _literal(content: Content) -> Parts:
    """Content as its caller wrote it; only a text part that is missing is made."""
    if content.text is not None:
        return Parts(subject=content.subject, html=content.html, text=content.text)
    if content.html is None:
        raise PartError(RenderFault(part="content", line=None, message="there is neither HTML nor text"))
    return Parts(subject=content.subject, html=content.html, text=text_of(content.html))


def _composed(job: Job, parts: Parts) -> Rendered | Gapped:
    return compose_around(job.header, parts, job.attachments) if job.attachments else compose(job.header, parts)


def _fault_in_mail(error: Exception) -> RenderFault:
    if isinstance(error, PartError):
        return error.fault
    if isinstance(error, (HeaderValueError, NulInPartError, UnicodeEncodeError)):
        return RenderFault(part="mail", line=None, message=str(error))
    return RenderFault(part="mail", line=None, message=f"{type(error).__name__}: {error}")


def check(source: TemplateSource) -> Checked:
    """Compile every part and render the sample in every locale, with and without the optional variables."""
    faults, previews = _static_faults(source), {}
    remarks: list[Remark] = []
    paths: list[list[str]] = []
    if not faults:
        try:
            version = CompiledVersion(source)
            paths = version.subject_paths()
            for tag in (None, *source.locales):
                preview = previews[tag or source.settings.locale] = version.render(tag, dict(source.sample))
                version.render(tag, variable.without(source.sample, source.settings.optional))
                compose(_specimen(), preview)
                remarks += _remarks(tag, preview)
        except PartError as error:
            faults.append(error.fault)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the template's, and told as a fault
            faults.append(RenderFault(part="mail", line=None, message=str(error)))
    return Checked(
        faults=faults,
        remarks=remarks,
        variables_schema=variable.schema_of(source.sample, source.settings.optional),
        subject_paths=paths,
        previews=previews,
    )


def _static_faults(source: TemplateSource) -> list[RenderFault]:
    """What can be seen without rendering: missing parts and reserved names."""
    faults = []
    for prefix in ("", *(f"{LOCALES}{tag}/" for tag in source.locales)):
        wanted = [SUBJECT, HTML] + ([TEXT] if TEXT in source.files else [])
        faults += [
            RenderFault(part=f"{prefix}{part}", line=None, message="this part is missing")
            for part in wanted
            if f"{prefix}{part}" not in source.files
        ]
    return faults


def _remarks(tag: str | None, preview: Preview) -> list[Remark]:
    found = []
    prefix = f"{LOCALES}{tag}/" if tag else ""
    if len(preview.subject) > 78:  # noqa: PLR2004 - RFC 5322 §2.1.1, and what phones show
        remark = Remark(
            severity=Severity.WARNING,
            code="long_subject",
            file=f"{prefix}{SUBJECT}",
            line=None,
            message=f"the subject has {len(preview.subject)} characters; many clients cut after 78.",
            advice="Say the most important thing first, and less.",
            locale=tag,
        )
        found.append(remark)
    if (size := len(preview.html.encode())) > GMAIL_CLIP:
        remark = Remark(
            severity=Severity.WARNING,
            code="large_html",
            file=f"{prefix}{HTML}",
            line=None,
            message=f"the HTML has {size // 1024} KB; Gmail hides what follows the first 102.",
            advice="Shorten it, or say less in styles.",
            locale=tag,
        )
        found.append(remark)
    return found


def _specimen() -> MailHeader:
    """A header to compose a checked sample with."""
    from_box = Mailbox("sender@example.org")
    moment = msgspec.convert("2026-01-01T00:00:00Z", type=MailHeader.__annotations__["date"])
    return MailHeader(message_id="<check@example.org>", date=moment, sender=from_box, recipient="to@example.org")


def _fault_of(part: str, error: BaseException) -> RenderFault:
    """The error in words, with the template's line where Jinja knows it."""
    if isinstance(error, TemplateSyntaxError):
        return RenderFault(part=error.name or part, line=error.lineno, message=error.message or "syntax error")
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":  # Jinja rewrites the traceback to template lines
            line = trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, (UndefinedError, SecurityError)):
        return RenderFault(part=part, line=line, message=error.message or str(error))
    message = str(error) or (type(error).__doc__ or type(error).__name__).partition("\n")[0]
    return RenderFault(part=part, line=line, message=message)


def serve(connection: socket.socket) -> None:
    """Answer requests from the socket until the parent closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bytes(KEPT_FREE)  # never touched, hence free of charge
    child = Child()
    decoder = msgspec.msgpack.Decoder(Request)
    encoder = msgspec.msgpack.Encoder()
    frame = bytearray(FRAME.size)  # used again and again: it keeps the size of the last answer
    with connection, contextlib.suppress(ConnectionError):  # the parent may go in the middle of an answer
        connection.sendall(HELLO)
        while (payload := _read_frame(connection)) is not None:
            signal.setitimer(signal.ITIMER_REAL, LONGEST_LIFE)
            encoder.encode_into(child.answer(decoder.decode(payload)), frame, FRAME.size)
            FRAME.pack_into(frame, 0, len(frame) - FRAME.size)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.sendall(frame)


def _read_frame(connection: socket.socket) -> bytes | None:
    head = _read_exactly(connection, FRAME.size)
    return None if head is None else _read_exactly(connection, FRAME.unpack(head)[0])


def _read_exactly(connection: socket.socket, size: int) -> bytes | None:
    """So many bytes, or None if the parent closed the socket before."""
    read = connection.recv(size, socket.MSG_WAITALL)
    return read if len(read) == size else None
