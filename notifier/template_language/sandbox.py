"""The Jinja environment of templates: sandboxed, strict about undefined names, with a fixed set of filters.

HTML is escaped; subject and text are not. Operators that can make gigabytes from a few characters are refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from itertools import islice
from typing import Any, Final

from jinja2 import BaseLoader, Environment, StrictUndefined, Template, TemplateNotFound, nodes
from jinja2.compiler import CodeGenerator
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, TemplateReference, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from notifier.mail.limits import MAX_OUTPUT, TIME_LIMIT, OutputTooLargeError, join_within_limit
from notifier.template_language import filters
from notifier.template_language.code_generator import MailCodeGenerator
from notifier.template_language.context_filters import CONTEXT_FILTERS, LINK_SCHEMES, list_link_schemes, show_safe_url
from notifier.template_language.contextual_escaping import guard_values, refuse_unknown
from notifier.template_language.guarded_calls import build_range, guard_filters, guard_tests
from notifier.template_language.template_values import (
    VALUE_METHODS,
    NotShowableError,
    RawValue,
    bind_method,
    format_value,
    get_item,
    get_raw_kind,
    is_private,
)

LIBRARY_FILTERS: Final = frozenset(
    {
        "abs", "capitalize", "default", "d", "e", "escape", "first", "float", "int", "join", "last", "length", "count",
        "list", "lower", "reverse", "round", "sort", "sum", "title", "trim", "truncate", "unique", "upper",
        "urlencode", "wordwrap",
    }
)  # fmt: skip
OWN_FILTERS: Final = filters.MAIL_FILTERS | {"safe_url": show_safe_url}
TEMPLATE_FILTERS: Final = LIBRARY_FILTERS | OWN_FILTERS.keys()
"""All filters of templates, as error messages list them."""
MARKUP_METHODS_REFUSED: Final = frozenset({"replace", "translate", "join"})
"""Methods of escaped text that are refused: their result would count as escaped, whatever it contains."""
TESTS_REFUSED: Final = frozenset({"filter", "test"})
_JINJA_OBJECTS: Final = (LoopContext, Macro, TemplateReference, BlockReference, TemplateModule, Undefined)
"""Objects that Jinja itself gives to templates; its sandbox knows which attributes are private."""
RawValues = dict[RawValue, None]
PIECES_PER_JOIN = 128
"""Pieces that are joined before their length is checked; most parts have two or three such runs."""


class FileLoader(BaseLoader):
    """Loads a version's files; their names appear in tracebacks."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def list_templates(self) -> list[str]:
        """The names of the files."""
        return [*self._files]

    def get_source(
        self,
        environment: Environment,  # noqa: ARG002 - the library's own signature
        template: str,
    ) -> tuple[str, str | None, Callable[[], bool] | None]:
        """The text and name of a file, which never changes."""
        if template not in self._files:
            raise TemplateNotFound(template)
        return self._files[template], template, None


class MailEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandboxed environment, reduced to what mail needs."""

    intercepted_binops = frozenset({"**", "*", "%"})
    code_generator_class: type[CodeGenerator] = MailCodeGenerator
    concat = staticmethod(join_within_limit)
    locale = "en"  # of the mail; filters read it here, because macros have no variables
    strict = True  # an unsuitable value in a link or style is an error; False: it is removed
    link_schemes: tuple[str, ...] = LINK_SCHEMES
    raw_values: RawValues | None = None  # collects values that are neither text nor numbers; None: not needed

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """A template's globals as one dict: Jinja's ChainMap would be iterated in Python at every rendering.

        The ChainMap would show later changes of the environment's globals, which do not happen here.
        """
        return {**self.globals, **(d or {})}

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,  # noqa: FBT001, FBT002 - the library's own signature
    ) -> str:
        """Generate a template's Python code, after refusing what is not allowed and guarding its values."""
        refuse_unknown(source, self, name)
        if self.autoescape:
            guard_values(source, self, name)
        return super()._generate(source, name, filename, defer_init)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse Python's internal attributes, and methods that turn escaped text into markup."""
        if isinstance(obj, Markup) and attr in MARKUP_METHODS_REFUSED:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002
        """Refuse the intercepted operators; mail needs none of them."""
        raise SecurityError(f"the operator {operator} is not available in templates")

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Read `obj.attribute`: a key of an object, or an attribute of Jinja's objects, such as `loop.index`."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        if type(obj) is TemplateModule and attribute in vars(obj) and not attribute.startswith("_"):
            return vars(obj)[attribute]
        if isinstance(obj, _JINJA_OBJECTS):
            return super().getattr(obj, attribute)
        return self._make_undefined(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Read `obj[argument]`: a key of an object, an item of a list, or a part of a text."""
        item = get_item(obj, argument)
        if item is not None:
            return item[0]
        if isinstance(obj, Undefined) or isinstance(argument, Undefined):
            return str(argument if isinstance(argument, Undefined) else obj)  # raises
        if isinstance(argument, str) and not isinstance(obj, dict):
            return self.getattr(obj, argument)
        return self._make_undefined(obj, argument)

    def get_method(self, obj: Any, name: str) -> Any:
        """What `obj.name(…)` calls: a macro, or an allowed method of text, lists and objects."""
        if type(obj) is TemplateModule:
            return self.getattr(obj, name)
        if name in VALUE_METHODS.get(type(obj), ()):
            is_safe = self.is_safe_attribute(obj, name, getattr(obj, name))
            return bind_method(self, obj, name) if is_safe else self.unsafe_undefined(obj, name)
        if isinstance(obj, _JINJA_OBJECTS) or (isinstance(obj, dict) and name in obj):
            return self.getattr(obj, name)
        return self.unsafe_undefined(obj, name) if hasattr(obj, name) else self._make_undefined(obj, name)

    def _make_undefined(self, obj: Any, name: Any) -> Undefined:
        """The undefined value for a missing attribute; Python's internal names get the sandbox's own error."""
        is_refused = isinstance(name, str) and is_private(obj, name)
        return self.unsafe_undefined(obj, name) if is_refused else self.undefined(obj=obj, name=name)

    def format_shown(self, value: Any, file: str, line: int, expression: str) -> str:
        """The text of a value that is shown at this place. Raises `NotShowableError`."""
        if self.raw_values is not None and (kind := get_raw_kind(value)):
            self.raw_values[RawValue(file, line, expression, kind)] = None
        try:
            return format_value(value)
        except NotShowableError as error:
            error.name = expression
            raise

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro or `range` without the sandbox's check: both are safe, and nearly all calls are of these."""
        if type(obj) is not Macro and obj is not build_range:
            return super().call(context, obj, *args, **kwargs)
        kwargs.pop("_block_vars", None)  # the compiler passes both to every call; only context functions use them
        kwargs.pop("_loop_vars", None)
        return obj(context.eval_ctx, *args, **kwargs) if type(obj) is Macro else obj(*args, **kwargs)


def create_environment(
    files: Mapping[str, str],
    *,
    autoescape: bool,
    locale: str = "en",
    strict: bool = True,
    link_schemes: Iterable[str] = (),
) -> MailEnvironment:
    """Create an environment over a version's files; `autoescape` is for HTML, not for subject and text.

    Without `strict`, an unsuitable value in a link or style is removed instead of refused. `link_schemes` may be used
    in links besides the usual ones.
    """
    env = MailEnvironment(
        loader=FileLoader(files),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=False,
        optimized=False,
        cache_size=-1,
    )
    env.locale, env.strict, env.link_schemes = locale, strict, list_link_schemes(link_schemes)
    env.globals = {"range": build_range}
    library = {name: function for name, function in env.filters.items() if name in LIBRARY_FILTERS}
    env.filters = guard_filters(library | OWN_FILTERS | CONTEXT_FILTERS)
    tests: dict[str, Any] = {name: test for name, test in env.tests.items() if name not in TESTS_REFUSED}
    env.tests = dict[str, Any](guard_tests(tests))
    return env


def render_limited(template: Template, variables: Mapping[str, Any]) -> str:
    """Render in small steps, so that the limits for size and time stop a template early.

    Does the same as Jinja's `generate`, without a second generator and without copying the variables twice.
    """
    context = template.new_context({**template.globals, **variables}, shared=True)
    TIME_LIMIT.begin()
    try:
        return _join_pieces(template.root_render_func(context))
    except Exception:  # noqa: BLE001 - raised again with the template's lines in its traceback
        TIME_LIMIT.end()  # rewriting the traceback is not the template's time
        template.environment.handle_exception()
    finally:
        TIME_LIMIT.end()


def _join_pieces(pieces: Iterator[str]) -> str:
    runs, size = [], 0
    while run := list(islice(pieces, PIECES_PER_JOIN)):
        runs.append("".join(run))
        size += len(runs[-1])
        if size > MAX_OUTPUT:
            raise OutputTooLargeError
    return "".join(runs)
