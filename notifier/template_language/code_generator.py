"""Jinja's code generator with three differences in the generated Python code.

A dot reads the caller's value first, and a method (`order.items`) only where brackets follow. Values are written by
`format_value`. The most frequent steps are inline code instead of calls: a name is bound inside an expression and used
before anything else runs, so that it can be reused.
"""

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame

from notifier.template_language.template_values import format_value


class MailCodeGenerator(CodeGenerator):
    """Renders the benchmark's HTML in a third of Jinja's time; the environment must not be asynchronous or optimized.

    An optimized environment would compute constants at compile time, and write `True` and `None`.
    """

    _callee: nodes.Node | None = None  # the expression in front of the brackets that are being written

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802 - Jinja's name
        """Import the two functions that the inline code uses."""
        self.writeline("from markupsafe import _escape_inner as escape_text")
        self.writeline("from notifier.mail.limits import within_limit")
        super().visit_Template(node, frame)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: FBT001, FBT002, N802 - Jinja's own
        """Call something; only here a dot may lead to a method."""
        self._callee = node.node
        super().visit_Call(node, frame, forward_caller=forward_caller)

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Read `a.b`, which is `a["b"]` if `a` is an object that has it."""
        if node is self._callee:
            self.write("environment.get_method(")
            self.visit(node.node, frame)
            self.write(f", {node.attr!r})")
        else:
            self.read_attribute(node, frame)

    def read_attribute(self, node: nodes.Getattr, frame: Frame) -> None:
        """Write the code that reads an attribute which is not called: a key of an object first."""
        self.write(f"(owner[{node.attr!r}] if type(owner := ")
        self.visit(node.node, frame)
        self.write(f") is dict and {node.attr!r} in owner else environment.getattr(owner, {node.attr!r}))")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Read `a[b]` and slices by the environment, which explains values that have no items."""
        self.write("environment.getitem(")
        self.visit(node.node, frame)
        self.write(", ")
        if isinstance(node.arg, nodes.Slice):
            self.write("slice(")
            for bound in (node.arg.start, node.arg.stop, node.arg.step):
                self.visit(bound or nodes.Const(None), frame)
                self.write(", ")
            self.write(")")
        else:
            self.visit(node.arg, frame)
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """Write `a ~ b` with the size limit: joining a text with itself doubles it at each step."""
        self.write(f"within_limit({'markup_join' if _is_html(frame) else 'str_join'}((")
        for piece in node.nodes:
            self.write("(shown if type(shown := ")
            self.visit(piece, frame)
            self.write(f") is str else {self._written(piece)}), ")
        self.write(")))")

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> str:
        if isinstance(node, nodes.TemplateData):
            return super()._output_child_to_const(node, frame, finalize)
        if not isinstance(node, nodes.Const):
            raise nodes.Impossible
        node = nodes.Const(format_value(node.value), lineno=node.lineno)
        return super()._output_child_to_const(node, frame, finalize)

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:  # noqa: ARG002
        self.write(f"({'escape_text(shown)' if _is_html(frame) else 'shown'} if type(shown := ")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo) -> None:  # noqa: ARG002
        self.write(") is str else str(shown) if type(shown) is int else ")
        if _is_html(frame):
            self.write(f"shown if type(shown) is Markup else escape({self._written(node)}))")
        else:
            self.write(f"str({self._written(node)}))")

    def _written(self, node: nodes.Expr) -> str:
        """The code that turns `shown` into text and passes its place in the template."""
        return f"environment.format_shown(shown, name, {node.lineno}, {get_expression_name(node)!r})"


def get_expression_name(node: nodes.Node) -> str:
    """The expression as written, if it is a name or a path of names; else an empty text."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Filter) and node.node is not None:  # a fallback, or a filter that guards the value
        return get_expression_name(node.node) if node.name in ("default", "d") or " " in node.name else ""
    if isinstance(node, nodes.Getattr) and (owner := get_expression_name(node.node)):
        return f"{owner}.{node.attr}"
    if (
        isinstance(node, nodes.Getitem)
        and isinstance(node.arg, nodes.Const)
        and (owner := get_expression_name(node.node))
    ):
        return f"{owner}[{node.arg.value!r}]"
    return ""


def _is_html(frame: Frame) -> bool:
    return bool(frame.eval_ctx.autoescape)
