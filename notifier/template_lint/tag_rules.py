"""Rules about tags: closed, nested, and with attributes that all clients read in the same way."""

from collections.abc import Iterator

from notifier.template_lint.html_document import TagFlaw, TagProblem
from notifier.template_lint.lint_rule import LintFinding, RequiredOrigin, SampleMail, error_rule, warning_rule


def _list_problems(mail: SampleMail, *flaws: TagFlaw) -> Iterator[TagProblem]:
    return (problem for problem in mail.document.problems if problem.flaw in flaws)


@error_rule("Add the closing tag where what it holds ends; a comment ends with -->.")
def unclosed_tag(mail: SampleMail) -> Iterator[LintFinding]:
    """A tag is opened and never closed; `<p>`, `<td>` and others that need no closing tag are fine."""
    for problem in _list_problems(mail, TagFlaw.UNCLOSED):
        yield LintFinding(
            message=f"<{problem.name}{' …' if problem.name == '!--' else ''}> is never closed.",
            offset=problem.offset,
            about=problem.name,
        )


@error_rule("Remove it, or add the tag that it should close.")
def stray_closing_tag(mail: SampleMail) -> Iterator[LintFinding]:
    """A closing tag closes nothing; a paragraph has ended where a `<div>`, a list or a table begins."""
    for problem in _list_problems(mail, TagFlaw.STRAY):
        why = " A paragraph ends where a table, a list or a <div> begins." if problem.name == "p" else ""
        yield LintFinding(message=f"</{problem.name}> closes nothing.{why}", offset=problem.offset, about=problem.name)


@error_rule("Close the tags in the opposite order of opening them.")
def wrong_nesting(mail: SampleMail) -> Iterator[LintFinding]:
    """A closing tag comes after that of the element around it, or elements stand more than 500 deep."""
    for problem in _list_problems(mail, TagFlaw.NESTING):
        message = f"</{problem.name}> comes after the end of what it stands in."
        yield LintFinding(message=message, offset=problem.offset, about=problem.name)
    for problem in _list_problems(mail, TagFlaw.DEEP):
        yield LintFinding(message="More than 500 elements stand within one another here.", offset=problem.offset)


@error_rule("Look for a quotation mark or a > that is missing there or just before.")
def broken_tag(mail: SampleMail) -> Iterator[LintFinding]:
    """A tag does not end, or an attribute's name contains a quotation mark or a <: a character is missing."""
    for problem in _list_problems(mail, TagFlaw.BROKEN):
        where = f" near {problem.name}" if problem.name else " and takes the rest of the mail with it"
        yield LintFinding(message=f"This tag is broken{where}.", offset=problem.offset)


@warning_rule("Remove one of the two.")
def duplicate_attribute(mail: SampleMail) -> Iterator[LintFinding]:
    """A tag has the same attribute twice; clients ignore the second."""
    for element in mail.document.elements:
        names: set[str] = set()
        for attribute in element.attributes:
            if attribute.name in names:
                message = f"<{element.name}> has {attribute.name} twice; the second is ignored."
                yield LintFinding(message=message, offset=attribute.offset, about=attribute.name)
            names.add(attribute.name)


@error_rule('Write quotation marks around it: href="{{ url }}".')
def unquoted_variable(mail: SampleMail) -> Iterator[LintFinding]:
    """An attribute's value is a variable without quotation marks: a blank in it would begin another attribute."""
    for element in mail.document.elements:
        for attribute in element.attributes:
            if not attribute.quoted:
                for offset in {attribute.value_offset, attribute.value_offset + len(attribute.raw) - 1}:
                    message = f"The value of {attribute.name} is a variable without quotation marks."
                    yield LintFinding(
                        message=message, offset=offset, about=attribute.name, required_origin=RequiredOrigin.VALUE
                    )
