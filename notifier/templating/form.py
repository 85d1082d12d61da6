"""What somebody wants to save, before anything is rendered: which files there may be, how large, and what is set."""

import re
from pathlib import PurePosixPath

import msgspec

from notifier.errors import Fault, InvalidRequestError
from notifier.rendering.job import Checked, RenderFault, Severity
from notifier.rendering.pointer import escape_pointer
from notifier.rendering.source import LOCALES, PARTS, RESERVED, WORDS, TemplateSource
from notifier.templating.folder import settings_text
from notifier.templating.folder.problem import Problem
from notifier.templating.folder.settings_text import TAG

LARGEST_SOURCE = 512 * 1024  # octets of all files together
LARGEST_SAMPLE = 256 * 1024  # octets as JSON, as of the variables of a notification
MOST_FILES = 100
SLUG = re.compile(r"[a-z][a-z0-9_-]{0,63}")
SAMPLE = "sample.json"
_MAILBOXES = frozenset({"from", "reply_to"})
_ABOUT = {"template.toml": "/settings", "sample.json": "/sample", "mail": "/files"}


def require(slug: str, source: TemplateSource) -> None:
    """Raise `InvalidRequestError` with all that is wrong with it."""
    faults = []
    if not SLUG.fullmatch(slug):
        detail = "a slug has lower-case letters, digits, - and _, and starts with a letter"
        faults.append(Fault("", "invalid_slug", detail))
    if faults := faults + faults_in(source):
        raise InvalidRequestError(faults)


def faults_in(source: TemplateSource) -> list[Fault]:
    """What is wrong with names, sizes, settings and the sample."""
    faults = [
        Fault(f"/files/{escape_pointer(name)}", "unknown_file", "subject.txt, body.html, body.txt; locales/<tag>/…")
        for name in source.files
        if not has_place(name)
    ]
    if len(source.files) > MOST_FILES:
        faults.append(Fault("/files", "too_many", f"a template has at most {MOST_FILES} files"))
    if sum(len(text.encode()) for text in source.files.values()) > LARGEST_SOURCE:
        faults.append(Fault("/files", "too_large", f"all files have at most {LARGEST_SOURCE} octets together"))
    if len(msgspec.json.encode(source.sample)) > LARGEST_SAMPLE:
        faults.append(Fault("/sample", "too_large", f"the sample has at most {LARGEST_SAMPLE} octets"))
    return faults + [_fault_in(problem) for problem in problems_of(source)]


def _fault_in(problem: Problem) -> Fault:
    code = "invalid_address" if problem.key in _MAILBOXES else "invalid_setting"
    return Fault(_pointer(problem.file) + (f"/{problem.key}" if problem.key else ""), code, problem.message)


def require_sound(checked: Checked) -> None:
    """Raise `InvalidRequestError` if it does not render."""
    if checked.faults:
        raise InvalidRequestError([fault_of(one) for one in checked.faults])


def require_publishable(checked: Checked) -> None:
    """Raise `InvalidRequestError` if it does not render, or is not fit to be sent."""
    require_sound(checked)
    errors = [one for one in checked.remarks if one.severity is Severity.ERROR]
    if errors:
        raise InvalidRequestError([Fault(_pointer(one.file), "template_blocked", str(one)) for one in errors])


def fault_of(fault: RenderFault) -> Fault:
    """What rendering says, as a fault of the request that has the source."""
    return Fault(_pointer(fault.part), fault.code.value, str(fault))


def _pointer(file: str) -> str:
    return _ABOUT.get(file) or f"/files/{escape_pointer(file)}"


def has_place(name: str) -> bool:
    """Whether a template can have a part of this name."""
    path = PurePosixPath(name)
    if path.name not in PARTS or str(path) != name:
        return False
    return len(path.parts) == 1 or (
        len(path.parts) == 3 and name.startswith(LOCALES) and bool(TAG.fullmatch(path.parts[1]))  # noqa: PLR2004
    )


def problems_of(source: TemplateSource, toml: str = "") -> list[Problem]:
    """What is wrong with settings, sample and locales, before anything is rendered; `toml`: where the lines are."""
    settings = source.settings
    if not isinstance(source.sample, dict):
        return [Problem(file=SAMPLE, message="must be an object: { … }")]
    problems = []
    if reserved := sorted(RESERVED & set(source.sample)):
        said = f"{', '.join(reserved)} is provided by rendering and cannot be a variable"
        problems.append(Problem(file=SAMPLE, message=said))
    if words := sorted(WORDS & set(source.sample)):
        said = f"{', '.join(words)} is a word of templates, and a variable cannot be called so: give it another name"
        problems.append(Problem(file=SAMPLE, message=said))
    faults = settings_text.faults_in(settings) + settings_text.faults_in_paths(settings, source.sample)
    problems += [
        Problem(file=settings_text.FILE, message=said, line=settings_text.line_of(toml, key), key=key)
        for key, said in faults
    ]
    lower: dict[str, str] = {}
    for tag in source.locales:
        if tag.lower() in lower:
            said = f"is the same language as locales/{lower[tag.lower()]}"
            problems.append(Problem(file=f"{LOCALES}{tag}", message=said))
        lower[tag.lower()] = tag
    return problems
