"""The form of a template: what its fields hold, and the source that they make.

The files are two lists of the same length, names and texts, because a template may have any number of languages.
"""

from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from notifier.console.form import FormErrors
from notifier.template_language.template_source import (
    HTML,
    LOCALES,
    PARTS,
    SUBJECT,
    TEXT,
    TemplateSettings,
    TemplateSource,
)
from notifier.templating.source_diff import format_sample
from notifier.templating.sync.template_files import parse_sample
from notifier.templating.translations import Translation
from notifier.templating.validation import SAMPLE, SETTINGS_FILE, SourceProblemError, is_part_name

PART_WORDS = {SUBJECT: "Subject", HTML: "HTML", TEXT: "Text", SETTINGS_FILE: "Settings", SAMPLE: "Sample values"}
_TYPE_WORDS = {
    "string": "text",
    "integer": "whole number",
    "boolean": "yes or no",
    "array": "list",
    "object": "group",
    "null": "nothing",
}
_PATH_LISTS = ("optional", "public", "secret", "link_schemes")


class TemplateForm(BaseModel):
    """The fields of the editor."""

    model_config = ConfigDict(extra="forbid")

    revision: str = ""
    part: list[str] = Field(default_factory=list)  # names of files
    text: list[str] = Field(default_factory=list)  # their texts
    drop: list[str] = Field(default_factory=list)  # names of files to leave out
    name: Annotated[str, Field(title="a name", max_length=200)] = ""
    description: Annotated[str, Field(title="the description", max_length=1000)] = ""
    category: Literal["transactional", "marketing"] = "transactional"
    priority: Literal["high", "normal", "bulk"] = "normal"
    locale: str = "en"
    expires_after: str = ""
    when_uncertain: Literal["resend", "hold"] = "resend"
    optional: str = ""
    sender: str = ""
    reply_to: str = ""
    public: str = ""
    secret: str = ""
    link_schemes: str = ""
    keep_content_days: str = ""
    sample: str = ""
    values: Literal["sample", "own"] = "sample"
    own: str = ""
    past: str = ""  # the id of a mail whose values are to be filled in
    view: Literal["html", "text", "source"] = "html"
    language: str = ""  # of the preview
    new_language: str = ""


def fill_form(source: TemplateSource, revision: str) -> TemplateForm:
    """Fill a form with a source."""
    settings: dict[str, Any] = msgspec.to_builtins(source.settings)
    names = sorted(source.files, key=sort_part)
    lists = {name: "\n".join(settings.pop(name)) for name in _PATH_LISTS}
    days = settings.pop("keep_content_days")
    return TemplateForm(
        revision=revision,
        part=names,
        text=[source.files[name] for name in names],
        sample=format_sample(source.sample),
        sender=settings.pop("from") or "",
        keep_content_days="" if days is None else str(days),
        **lists,
        **{name: value or "" for name, value in settings.items()},
    )


def read_source(form: TemplateForm) -> TemplateSource | FormErrors:
    """Make the source that the form describes. Errors are those of fields that cannot even be stored."""
    messages = {}
    sample: dict[str, Any] = {}
    try:
        sample = parse_sample(form.sample or "{}")
    except SourceProblemError as error:
        place = f"line {error.problem.line}: " if error.problem.line else ""
        messages["sample"] = f"The sample values are not JSON: {place}{error.problem.message}."
    if form.keep_content_days and not form.keep_content_days.isdecimal():
        messages["keep_content_days"] = "Enter the days as a whole number, or leave it empty."
    if not form.name.strip():
        messages["name"] = "Enter a name."
    if len(form.part) != len(form.text):
        messages[""] = "This page is not up to date. Reload it, and fill it in again."
    if messages:
        return FormErrors(values=form.model_dump(), messages=messages)
    settings = TemplateSettings(
        name=form.name,
        description=form.description,
        category=form.category,
        priority=form.priority,
        locale=form.locale,
        expires_after=form.expires_after or None,
        when_uncertain=form.when_uncertain,
        optional=_split_lines(form.optional),
        from_=form.sender or None,
        reply_to=form.reply_to or None,
        public=_split_lines(form.public),
        secret=_split_lines(form.secret),
        link_schemes=_split_lines(form.link_schemes),
        keep_content_days=int(form.keep_content_days) if form.keep_content_days else None,
    )
    files = {name: text for name, text in zip(form.part, form.text, strict=True) if name not in form.drop}
    return TemplateSource(files=files, sample=sample, settings=settings)


def read_own_values(form: TemplateForm) -> dict[str, Any] | FormErrors | None:
    """Read the values for the preview; None: those of the sample."""
    if form.values == "sample":
        return None
    try:
        return parse_sample(form.own or "{}")
    except SourceProblemError as error:
        place = f"line {error.problem.line}: " if error.problem.line else ""
        message = f"Your own values are not JSON: {place}{error.problem.message}."
        return FormErrors(values=form.model_dump(), messages={"own": message})


def add_language(form: TemplateForm) -> TemplateForm:
    """Add the parts of a new language as copies of the default ones; an invalid tag adds nothing."""
    tag = form.new_language.strip()
    texts = dict(zip(form.part, form.text, strict=False))
    for name in PARTS:
        copy = f"{LOCALES}{tag}/{name}"
        if name in texts and is_part_name(copy) and copy not in texts:
            texts[copy] = texts[name]
    return form.model_copy(update={"part": [*texts], "text": [*texts.values()], "new_language": ""})


def add_text_part(form: TemplateForm, text: str) -> TemplateForm:
    """Add a text part of its own, to begin with the text that is made from the HTML."""
    if TEXT in form.part:
        return form
    pairs = sorted([*zip(form.part, form.text, strict=False), (TEXT, text)], key=lambda pair: sort_part(pair[0]))
    return form.model_copy(update={"part": [name for name, _ in pairs], "text": [text for _, text in pairs]})


def sort_part(name: str) -> tuple[str, int]:
    """Sort parts by language, the default one first, and then subject, HTML and text."""
    folder, _, file = name.rpartition("/")
    return folder, PARTS.index(file) if file in PARTS else len(PARTS)


def word_part(name: str) -> str:
    """Word the name of a part for people: "HTML (de)"."""
    if name.startswith("_layouts/"):
        return f"Layout {name.partition('/')[2]}"
    folder, _, file = name.rpartition("/")
    language = f" ({folder.removeprefix(LOCALES)})" if folder.startswith(LOCALES) else ""
    return PART_WORDS.get(file, "The mail as a whole" if file == "mail" else file) + language


def word_translation(translation: Translation, own: str) -> str:
    """Word what is the matter with a language of a template, whose own one is `own`; empty if nothing is."""
    if translation.is_missing:
        return "not translated"
    return f"older than {own}: {', '.join(map(word_part, translation.older))}" if translation.older else ""


def word_type(type_: str) -> str:
    """Word the JSON type of a variable for people."""
    return " or ".join(_TYPE_WORDS.get(each, each) for each in type_.split(" or ")) if type_ else "anything"


def _split_lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("\n") if line.strip())
