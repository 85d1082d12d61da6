"""The Jinja environments: sandboxed, strict about undefined names, with the filters that mail needs and no others.

HTML is escaped; subject and text are not. Operators that can turn a few characters into gigabytes are refused.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import DictLoader, StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

FILTERS: Final = frozenset(
    {
        "abs", "capitalize", "default", "d", "e", "escape", "first", "float", "int", "join", "last", "length", "count",
        "list", "lower", "replace", "reverse", "round", "sort", "sum", "title", "trim", "truncate", "unique", "upper",
        "urlencode", "wordwrap",
    }
)  # fmt: skip
TESTS_REFUSED: Final = frozenset({"filter", "test"})
OUTPUT_LIMIT = 1024 * 1024
"""Characters that one part may render to."""


class OutputTooLargeError(Exception):
    """The part renders to more than 1 MiB of text."""


class MailEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as far as mail needs it."""

    intercepted_binops = frozenset({"**", "*", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
        """Refuse the intercepted operators; none of them is needed to write a mail."""
        raise SecurityError(f"the operator {operator} is not available in templates")


def environment(files: Mapping[str, str], *, autoescape: bool) -> MailEnvironment:
    """An environment over a version's files; with `autoescape` for HTML, without for subject and text."""
    env = MailEnvironment(
        loader=DictLoader(files),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=False,
        cache_size=-1,
    )
    env.globals = {"range": env.globals["range"]}
    env.filters = {name: function for name, function in env.filters.items() if name in FILTERS}
    env.tests = {name: test for name, test in env.tests.items() if name not in TESTS_REFUSED}
    return env


def render_limited(generate: Callable[..., Any], variables: Mapping[str, Any]) -> str:
    """Render piece by piece and stop at the output limit, rather than after it."""
    pieces, size = [], 0
    for piece in generate(variables):
        size += len(piece)
        if size > OUTPUT_LIMIT:
            raise OutputTooLargeError
        pieces.append(piece)
    return "".join(pieces)
