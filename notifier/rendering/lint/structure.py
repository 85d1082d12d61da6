"""Rules about tags: closed, nested, and with attributes that all clients read in the same way."""

from collections.abc import Iterator

from notifier.rendering.lint.document import Flaw, Problem
from notifier.rendering.lint.rule import Found, Mail, Only, error, warning


def _problems(mail: Mail, *flaws: Flaw) -> Iterator[Problem]:
    return (problem for problem in mail.document.problems if problem.flaw in flaws)


@error("Add the closing tag where what it holds ends; a comment ends with -->.")
def unclosed_tag(mail: Mail) -> Iterator[Found]:
    """A tag is opened and never closed; `<p>`, `<td>` and others that need no closing tag are fine."""
    for problem in _problems(mail, Flaw.UNCLOSED):
        yield Found(
            message=f"<{problem.name}{' …' if problem.name == '!--' else ''}> is never closed.",
            offset=problem.offset,
            about=problem.name,
        )


@error("Remove it, or add the tag that it should close.")
def stray_closing_tag(mail: Mail) -> Iterator[Found]:
    """A closing tag closes nothing; a paragraph has ended where a `<div>`, a list or a table begins."""
    for problem in _problems(mail, Flaw.STRAY):
        why = " A paragraph ends where a table, a list or a <div> begins." if problem.name == "p" else ""
        yield Found(message=f"</{problem.name}> closes nothing.{why}", offset=problem.offset, about=problem.name)


@error("Close the tags in the opposite order of opening them.")
def wrong_nesting(mail: Mail) -> Iterator[Found]:
    """A closing tag comes after that of the element around it, or elements stand more than 500 deep."""
    for problem in _problems(mail, Flaw.NESTING):
        message = f"</{problem.name}> comes after the end of what it stands in."
        yield Found(message=message, offset=problem.offset, about=problem.name)
    for problem in _problems(mail, Flaw.DEEP):
        yield Found(message="More than 500 elements stand within one another here.", offset=problem.offset)


@error("Look for a quotation mark or a > that is missing there or just before.")
def broken_tag(mail: Mail) -> Iterator[Found]:
    """A tag does not end, or an attribute's name contains a quotation mark or a <: a character is missing."""
    for problem in _problems(mail, Flaw.BROKEN):
        where = f" near {problem.name}" if problem.name else " and takes the rest of the mail with it"
        yield Found(message=f"This tag is broken{where}.", offset=problem.offset)


@warning("Remove one of the two.")
def duplicate_attribute(mail: Mail) -> Iterator[Found]:
    """A tag has the same attribute twice; clients ignore the second."""
    for element in mail.document.elements:
        names: set[str] = set()
        for attribute in element.attributes:
            if attribute.name in names:
                message = f"<{element.name}> has {attribute.name} twice; the second is ignored."
                yield Found(message=message, offset=attribute.offset, about=attribute.name)
            names.add(attribute.name)


@error('Write quotation marks around it: href="{{ url }}".')
def unquoted_variable(mail: Mail) -> Iterator[Found]:
    """An attribute's value is a variable without quotation marks: a blank in it would begin another attribute."""
    for element in mail.document.elements:
        for attribute in element.attributes:
            if not attribute.quoted:
                for offset in {attribute.value_offset, attribute.value_offset + len(attribute.raw) - 1}:
                    message = f"The value of {attribute.name} is a variable without quotation marks."
                    yield Found(message=message, offset=offset, about=attribute.name, only=Only.VALUE)
