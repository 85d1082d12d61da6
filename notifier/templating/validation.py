"""What somebody wants to save, before anything is rendered: which files there may be, how large, and what is set."""

import msgspec

from notifier.errors import Fault, InvalidRequestError
from notifier.rendering.protocol import SourceCheck
from notifier.template_language.render_fault import RenderFault
from notifier.template_language.template_source import TemplateSource
from notifier.template_language.variable_path import escape_pointer
from notifier.template_lint.lint_remark import Severity
from notifier.templating.source_problem import SourceProblem
from notifier.templating.sync.template_files import SLUG, find_source_problems, is_part_name

MAX_SOURCE_BYTES = 512 * 1024  # octets of all files together
MAX_SAMPLE_BYTES = 256 * 1024  # octets as JSON, as of the variables of a notification
MAX_FILES = 100
_MAILBOXES = frozenset({"from", "reply_to"})
_POINTERS = {"template.toml": "/settings", "sample.json": "/sample", "mail": "/files"}


def require_valid_source(slug: str, source: TemplateSource) -> None:
    """Raise `InvalidRequestError` with all that is wrong with it."""
    faults = []
    if not SLUG.fullmatch(slug):
        detail = "a slug has lower-case letters, digits, - and _, and starts with a letter"
        faults.append(Fault("", "invalid_slug", detail))
    if faults := faults + find_source_faults(source):
        raise InvalidRequestError(faults)


def find_source_faults(source: TemplateSource) -> list[Fault]:
    """What is wrong with names, sizes, settings and the sample."""
    faults = [
        Fault(f"/files/{escape_pointer(name)}", "unknown_file", "subject.txt, body.html, body.txt; locales/<tag>/…")
        for name in source.files
        if not is_part_name(name)
    ]
    if len(source.files) > MAX_FILES:
        faults.append(Fault("/files", "too_many", f"a template has at most {MAX_FILES} files"))
    if sum(len(text.encode()) for text in source.files.values()) > MAX_SOURCE_BYTES:
        faults.append(Fault("/files", "too_large", f"all files have at most {MAX_SOURCE_BYTES} octets together"))
    if len(msgspec.json.encode(source.sample)) > MAX_SAMPLE_BYTES:
        faults.append(Fault("/sample", "too_large", f"the sample has at most {MAX_SAMPLE_BYTES} octets"))
    return faults + [_build_problem_fault(problem) for problem in find_source_problems(source)]


def _build_problem_fault(problem: SourceProblem) -> Fault:
    code = "invalid_address" if problem.key in _MAILBOXES else "invalid_setting"
    return Fault(_get_file_pointer(problem.file) + (f"/{problem.key}" if problem.key else ""), code, problem.message)


def require_renderable(checked: SourceCheck) -> None:
    """Raise `InvalidRequestError` if it does not render."""
    if checked.faults:
        raise InvalidRequestError([build_render_fault(one) for one in checked.faults])


def require_publishable(checked: SourceCheck) -> None:
    """Raise `InvalidRequestError` if it does not render, or is not fit to be sent."""
    require_renderable(checked)
    errors = [one for one in checked.remarks if one.severity is Severity.ERROR]
    if errors:
        raise InvalidRequestError([Fault(_get_file_pointer(one.file), "template_blocked", str(one)) for one in errors])


def build_render_fault(fault: RenderFault) -> Fault:
    """What rendering says, as a fault of the request that has the source."""
    return Fault(_get_file_pointer(fault.part), fault.code.value, str(fault))


def _get_file_pointer(file: str) -> str:
    return _POINTERS.get(file) or f"/files/{escape_pointer(file)}"
