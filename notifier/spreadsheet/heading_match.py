"""Which column of a spreadsheet holds which field: headings as people write them, matched to names of fields.

Case, accents, spaces, dashes, dots and underscores do not matter. What could mean two things is not guessed.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches

import msgspec

RECIPIENT_FIELD = "to"
_RECIPIENT_HEADINGS = frozenset({
    "email", "emailaddress", "emailaddr", "mail", "mailaddress", "recipient", "recipientemail", "recipientaddress",
    "toaddress", "emailadresse", "mailadresse", "adresseemail", "adressemail", "courriel", "correo",
    "correoelectronico", "indirizzoemail", "epost", "epostadress", "empfanger", "emailadres",
})  # fmt: skip
"""Headings for `to` in the languages that we meet, without case, accents and signs."""


class HeadingMatch(msgspec.Struct, frozen=True, kw_only=True):
    """How the headings of a sheet match the fields."""

    fields: dict[int, str]  # index of the heading, from 0, to the field; each field at most once
    unmatched: tuple[str, ...]  # headings that no field takes, as written
    missing: tuple[str, ...]  # fields without a column, those with an ambiguity too
    ambiguities: tuple[str, ...]  # sentences
    override_faults: tuple[str, ...]  # sentences about overrides that cannot hold; the caller should refuse them
    sentences: tuple[str, ...]  # everything that a person should read, in order of importance


def match_headings(headings: Sequence[str], wanted: Sequence[str], overrides: Mapping[str, str]) -> HeadingMatch:
    """Match the headings to the wanted fields.

    `wanted` are names such as `to` and `order.total`. `overrides` maps a heading, in any usual spelling, to a field, or
    to "" if its column is to be left out; they come first.
    """
    draft = _MatchDraft(headings, wanted)
    draft.apply_overrides(overrides)
    draft.match_spellings(lambda text: text)
    draft.match_spellings(simplify_name)
    draft.match_recipient()
    return draft.finish()


def simplify_name(name: str) -> str:
    """Reduce a name to what does not depend on spelling: letters and digits, without case and accents."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    return "".join(letter for letter in letters if letter.isalnum())


class _MatchDraft:
    """The match while it is made."""

    def __init__(self, headings: Sequence[str], wanted: Sequence[str]) -> None:
        self._headings, self._wanted = headings, tuple(dict.fromkeys(wanted))
        self._fields: dict[int, str] = {}
        self._left_out: set[int] = set()  # columns that the person does not want
        self._ambiguous_fields: set[str] = set()
        self._ambiguous_headings: set[int] = set()
        self._ambiguities: list[str] = []
        self._override_faults: list[str] = []

    def apply_overrides(self, overrides: Mapping[str, str]) -> None:
        for heading, field in overrides.items():
            indexes = self._find_heading(heading)
            if len(indexes) != 1:
                count = "no column has" if not indexes else f"{len(indexes)} columns have"
                self._override_faults.append(
                    f"The mapping “{heading}:{field}” cannot be used: {count} this heading. The headings are"
                    f" {_list_names(self._headings)}."
                )
            elif indexes[0] in self._fields or indexes[0] in self._left_out:
                self._override_faults.append(f"The heading “{heading}” is mapped twice: map it once.")
            elif not field:
                self._left_out.add(indexes[0])
            elif field not in self._wanted:
                self._override_faults.append(
                    f"The mapping “{heading}:{field}” cannot be used: there is no field “{field}”. The fields are"
                    f" {_list_names(self._wanted)}."
                )
            elif field in self._fields.values():
                self._override_faults.append(f"The field “{field}” is mapped twice: map one column to it.")
            else:
                self._fields[indexes[0]] = field

    def _find_heading(self, heading: str) -> list[int]:
        exact = [index for index, text in enumerate(self._headings) if text == heading.strip()]
        name = simplify_name(heading)
        return exact or [index for index, text in enumerate(self._headings) if name and simplify_name(text) == name]

    def match_spellings(self, spell: Callable[[str], str]) -> None:
        """Match free headings to free fields whose spellings are equal."""
        fields: dict[str, list[str]] = defaultdict(list)
        for field in self._list_free_fields():
            fields[spell(field)].append(field)
        columns: dict[str, list[int]] = defaultdict(list)
        for index in self._list_free_headings():
            columns[spell(self._headings[index])].append(index)
        for name, indexes in columns.items():
            if name and name in fields:
                self._match(indexes, fields[name])

    def match_recipient(self) -> None:
        """Match what people write for `to`, if nothing else was matched to it."""
        if RECIPIENT_FIELD not in self._list_free_fields():
            return
        columns = [
            index for index in self._list_free_headings() if simplify_name(self._headings[index]) in _RECIPIENT_HEADINGS
        ]
        if columns:
            self._match(columns, [RECIPIENT_FIELD])

    def _match(self, columns: Sequence[int], fields: Sequence[str]) -> None:
        if len(columns) == len(fields) == 1:
            self._fields[columns[0]] = fields[0]
            return
        names = [self._headings[index] for index in columns]
        self._ambiguous_fields.update(fields)
        self._ambiguous_headings.update(columns)
        verb = "heading" if len(names) == 1 else "headings"
        could = "field" if len(fields) == 1 else "fields"
        self._ambiguities.append(
            f"The {verb} {_list_names(names)} could stand for the {could} {_list_names(fields)}:"
            f" map the column that is meant, for example “{names[0]}:{fields[0]}”."
        )

    def _list_free_fields(self) -> list[str]:
        taken = self._ambiguous_fields.union(self._fields.values())
        return [field for field in self._wanted if field not in taken]

    def _list_free_headings(self) -> list[int]:
        taken = self._ambiguous_headings | self._left_out | self._fields.keys()
        return [index for index in range(len(self._headings)) if index not in taken]

    def finish(self) -> HeadingMatch:
        missing = tuple(field for field in self._wanted if field not in self._fields.values())
        indexes = [index for index in range(len(self._headings)) if index not in self._left_out | self._fields.keys()]
        unmatched = tuple(self._headings[index] for index in indexes)
        sentences = [*self._override_faults, *self._ambiguities]
        sentences += [self._explain_missing(field) for field in missing if field not in self._ambiguous_fields]
        unused = [self._headings[index] for index in indexes if index not in self._ambiguous_headings]
        if unused:
            sentences.append(f"These columns are not used: {_list_names(unused)}.")
        return HeadingMatch(
            fields=dict(sorted(self._fields.items())),
            unmatched=unmatched,
            missing=missing,
            ambiguities=tuple(self._ambiguities),
            override_faults=tuple(self._override_faults),
            sentences=tuple(sentences),
        )

    def _explain_missing(self, field: str) -> str:
        free = {simplify_name(self._headings[index]): self._headings[index] for index in self._list_free_headings()}
        near = get_close_matches(simplify_name(field), free, n=1, cutoff=0.7)
        if near:
            heading = free[near[0]]
            return (
                f"No column is called “{field}”. The nearest heading is “{heading}”: rename it, or map it with"
                f" “{heading}:{field}”."
            )
        return f"No column is called “{field}”: add one, or map a column to it with “heading:{field}”."


def _list_names(names: Sequence[str]) -> str:
    """List names for a sentence, at most ten."""
    texts = [f"“{name}”" for name in names[:10]]
    if len(names) > 10:  # noqa: PLR2004 - as above
        return ", ".join(texts) + f" and {len(names) - 10} more"
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))
