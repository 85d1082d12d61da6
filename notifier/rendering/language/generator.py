"""The Python code that templates become: Jinja's own, with the two most frequent steps written out in place of calls.

What the steps do is the library's; only text, whole numbers and objects, which is what variables are made of, take
the short way. A name is bound inside an expression and used before anything else runs, so that it may be reused.
"""

from typing import Final

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame, optimizeconst

DICT_NAMES: Final = frozenset(dir(dict))
"""Attributes that Jinja prefers to a key of the same name."""


class MailCodeGenerator(CodeGenerator):
    """Renders the benchmark's HTML in a third of the time; the environment must not be asynchronous."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802 - Jinja's name
        """Have at hand what escapes text without marking it as escaped (it is only put out), and the limit of texts."""
        self.writeline("from markupsafe import _escape_inner as escape_text")
        self.writeline("from notifier.rendering.language.size_limit import within_limit")
        super().visit_Template(node, frame)

    @optimizeconst
    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Read `a.b`, which is `a["b"]` if `a` is an object that has it and no method of objects is called so."""
        if node.attr in DICT_NAMES:
            super().visit_Getattr(node, frame)
            return
        self.write(f"(owner[{node.attr!r}] if type(owner := ")
        self.visit(node.node, frame)
        self.write(f") is dict and {node.attr!r} in owner else environment.getattr(owner, {node.attr!r}))")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """`a ~ b`, which doubles a text in one step if both are the same."""
        self.write("within_limit(")
        super().visit_Concat(node, frame)
        self.write(")")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        if _is_html(frame):
            self.write("(escape_text(shown) if type(shown := ")
        else:
            super()._output_child_pre(node, frame, finalize)

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:
        if _is_html(frame):
            self.write(") is str else str(shown) if type(shown) is int else escape(shown))")
        else:
            super()._output_child_post(node, frame, finalize)


def _is_html(frame: Frame) -> bool:
    """Whether what is put out is escaped, as far as is known before rendering."""
    return bool(frame.eval_ctx.autoescape) and not frame.eval_ctx.volatile
