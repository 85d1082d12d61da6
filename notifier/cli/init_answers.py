"""The answers that `notifier init` needs: from options, variables and `.env`, or asked for on a terminal.

An answer becomes a variable of this process, so that settings are read and checked exactly as every later command does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from notifier import environment
from notifier.cli.command import USAGE_ERROR, CommandError

TLS_PORT = 465
DEFAULT_PORTS = {"localhost": "25", "127.0.0.1": "25", "::1": "25"}
"""Ports of relays on this machine. Others take mail with a login on 587."""
EVERYBODY = "live"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A variable, the option that answers it, and how a terminal is asked (without a text: not).

    `default` None: an answer is needed.
    """

    variable: str
    option: str
    text: str
    default: str | None = None
    is_hidden: bool = False
    split: Callable[[str], dict[str, str]] | None = None  # an answer into several variables
    names_file: bool = False  # the option names a file that has the answer


def split_relay(text: str) -> dict[str, str]:
    """Split HOST, HOST:PORT or [IPv6]:PORT into variables. Port 465 takes TLS from the first byte (RFC 8314)."""
    host, separator, port = text.rpartition(":")
    if not separator or (":" in host and not host.endswith("]")):  # an IPv6 address without a port
        host, port = text, ""
    host = host.strip("[]")
    port = port or DEFAULT_PORTS.get(host, "587")
    variables = {RELAY.variable: host, "NOTIFIER_SMTP__PORT": port}
    return variables | ({"NOTIFIER_SMTP__SECURITY": "tls"} if port == str(TLS_PORT) else {})


def split_recipients(text: str) -> dict[str, str]:
    """Split `live`, or addresses and domains with commas, into variables."""
    if text.lower() == EVERYBODY:
        return {RECIPIENTS.variable: EVERYBODY}
    return {RECIPIENTS.variable: "allow", "NOTIFIER_RECIPIENTS__ALLOW": text}


DATABASE = Question(
    variable="NOTIFIER_DATABASE_URL",
    option="--database-url",
    text="Database (postgresql://user:password@host/name; Enter: SQLite in this directory)",
    default="",
)
RELAY = Question(variable="NOTIFIER_SMTP__HOST", option="--relay", text="Relay (HOST or HOST:PORT)", split=split_relay)
SECURITY = Question(variable="NOTIFIER_SMTP__SECURITY", option="--security", text="", default="")
USERNAME = Question(
    variable="NOTIFIER_SMTP__USERNAME", option="--username", text="User name at the relay (Enter: no login)", default=""
)
PASSWORD = Question(
    variable="NOTIFIER_SMTP__PASSWORD",
    option="--password-file",
    text="Password (not shown)",
    is_hidden=True,
    names_file=True,
)
SENDER = Question(variable="NOTIFIER_FROM", option="--from", text="From (an address, or: Name <address>)")
RECIPIENTS = Question(
    variable="NOTIFIER_RECIPIENTS__MODE",
    option="--recipients",
    text="Who may be mailed? (live: everybody; or only these addresses and @domains, with commas)",
    split=split_recipients,
)
RELAY_QUESTIONS = (RELAY, SECURITY, USERNAME, PASSWORD)


class InitAnswers:
    """Finds each answer, and collects what `.env` is to have in `values`."""

    def __init__(self, options: Mapping[Question, str], *, can_ask: bool, force: bool) -> None:
        self.can_ask = can_ask
        self.values: dict[str, str] = {}
        self._options = {question: text.strip() for question, text in options.items() if text.strip()}
        self._force = force
        self._known = environment.read_variables()
        self._used: dict[Question, Mapping[str, str]] = {}
        self._rejected: set[Question] = set()

    def find(self, question: Question) -> str:
        """Use the answer, and return it; empty if there is none. What the environment or `.env` has is kept.

        Raises `CommandError` for a contradiction, and if an answer is missing and nobody can be asked.
        """
        if question is PASSWORD and not self.values.get(USERNAME.variable):
            return ""
        answer = _name_variables(question, self._options.get(question, ""), is_file=question.names_file)
        known = self._find_known(question) if question not in self._rejected else {}
        if not answer and not known and question.text and self.can_ask:
            answer = _name_variables(question, _ask(question))
        elif not answer and not known and question.default is None:
            raise CommandError(
                f"{question.option} is missing: give it, or set {question.variable}; on a terminal it is asked for",
                USAGE_ERROR,
            )
        self._require_agreement(answer, may_replace=self._force or question in self._rejected)
        return self._use(question, answer or known)

    def find_blamed(self, message: str) -> tuple[Question, ...]:
        """Find the questions whose variables a message names."""
        return tuple(question for question, names in self._used.items() if any(name in message for name in names))

    def reject(self, *questions: Question) -> None:
        """Ask for these again, because a check found a fault. Their answers are not used any more."""
        for question in questions:
            self._rejected.add(question)
            self._options.pop(question, None)
            for name in self._used.pop(question, ()):
                self.values.pop(name, None)
                if self._get_origin(name) != "environment":
                    environment.change_variables({name: None})

    def _get_origin(self, name: str) -> str:
        return self._known[name].origin if name in self._known else ""

    def _find_known(self, question: Question) -> dict[str, str]:
        names = (question.variable, f"{question.variable}_FILE")
        return {name: self._known[name].value for name in names if name in self._known}

    def _require_agreement(self, answer: Mapping[str, str], *, may_replace: bool) -> None:
        """Raise `CommandError` if the environment has other values, or `.env` has and they may not be replaced."""
        for name, value in answer.items():
            for form in {name, _get_other_form(name)} & self._known.keys():
                if form == name and self._known[form].value == value:
                    continue
                if self._get_origin(form) == "environment":
                    raise CommandError(f"{form} is set in the environment and would win: unset it", USAGE_ERROR)
                if not may_replace:
                    raise CommandError(f".env has another {form}: give --force to replace it", USAGE_ERROR)

    def _use(self, question: Question, variables: Mapping[str, str]) -> str:
        self._used[question] = variables
        self.values |= variables
        environment.change_variables(variables)
        for name in variables:
            if _get_other_form(name) in self._known and _get_other_form(name) not in variables:
                self.values[_get_other_form(name)] = ""  # only one form of a secret may be set
        return variables.get(question.variable, "")


def _get_other_form(name: str) -> str:
    """Get the name for the file of a secret, or the name of the secret of such a file."""
    return name.removesuffix("_FILE") if name.endswith("_FILE") else f"{name}_FILE"


def _name_variables(question: Question, answer: str, *, is_file: bool = False) -> dict[str, str]:
    if not answer:
        return {}
    if is_file:
        return {f"{question.variable}_FILE": str(Path(answer).absolute())}
    return question.split(answer) if question.split else {question.variable: answer}


def _ask(question: Question) -> str:
    answer = typer.prompt(question.text, question.default, hide_input=question.is_hidden, show_default=False)
    return str(answer).strip()
