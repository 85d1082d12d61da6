"""Rules for names: a new reader understands them, and one name means one thing.

Each failure lists the worst offenders with file and line.
"""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
MAX_LISTED = 25
"""Maximum number of offenders that a failure lists."""
MAX_ONE_WORD_SHARE = 0.15
MIN_MODULES_OF_A_COMMON_NAME = 5
MAX_COMMON_NAMES = 3
MAX_REFUSED_PER_1000_LINES = 5
REFUSED = frozenset({"found", "one", "told", "wanted", "there", "asked", "given", "shown", "kept", "whose"})
"""Names of variables that do not say what they hold."""
REFUSED_BOUNDS = re.compile(r"(^|_)(MOST|LARGEST|LONGEST|LEAST|SMALLEST|HIGHEST|LOWEST)(_|$)")
HOUSE_TERMS = (
    "notification", "service", "submit", "message", "envelope", "outbox entry", "claim", "lease", "release", "settle",
    "rescue", "fence", "mark", "journal", "proof", "attempt", "outcome", "relay", "circuit", "suppression",
    "dead letter", "redrive", "template", "draft", "version", "publish", "restore", "publish gate", "layout", "asset",
    "variables", "priority", "webhook endpoint", "event", "delivery", "replay", "producer outbox", "forwarder", "job",
    "schedule",
)  # fmt: skip
"""The terms of our own, which a reader looks up in `docs/glossary.md`."""


class Definition(NamedTuple):
    """A name that a module of the package defines, and where."""

    name: str
    module: str
    place: str  # file:line
    node: ast.stmt


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _definitions() -> tuple[Definition, ...]:
    """The top-level names of the package's modules; the client is a package of its own."""
    definitions = []
    for path in _files("notifier"):
        for node in _parse(path).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                names = [node.name]
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [leaf.id for target in targets for leaf in ast.walk(target) if isinstance(leaf, ast.Name)]
            else:
                names = []
            definitions += [Definition(name, _module(path), _place(path, node), node) for name in names]
    return tuple(definitions)


def _list(offenders: Iterable[str]) -> str:
    lines = sorted(offenders)
    return "\n".join([f"{len(lines)} in all", *lines[:MAX_LISTED]])


def _is_in_client(module: str) -> bool:
    return module.startswith("notifier.client")


def test_each_class_name_exists_once() -> None:
    """No two classes of the package have the same name; the client may repeat the API's names."""
    places = defaultdict(list)
    for path in _files("notifier"):
        if not _is_in_client(_module(path)):
            for node in ast.walk(_parse(path)):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(_place(path, node))
    twice = [f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1]
    assert not twice, _list(twice)


def test_public_functions_are_verb_and_noun() -> None:
    """Few public functions of a module have a one-word name."""
    functions = [
        definition
        for definition in _definitions()
        if isinstance(definition.node, ast.FunctionDef | ast.AsyncFunctionDef) and not definition.name.startswith("_")
    ]
    one_word = [f"{item.place}: {item.name}" for item in functions if "_" not in item.name.strip("_")]
    assert len(one_word) <= MAX_ONE_WORD_SHARE * len(functions), _list(one_word)


def test_few_functions_have_the_same_name() -> None:
    """Few function names are defined in many modules."""
    modules = defaultdict(set)
    for name, module, _, node in _definitions():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_in_client(module):
            modules[name].add(module)
    common = {name: where for name, where in modules.items() if len(where) >= MIN_MODULES_OF_A_COMMON_NAME}
    listed = [f"{name}: {', '.join(sorted(where))}" for name, where in common.items()]
    assert len(common) <= MAX_COMMON_NAMES, _list(listed)


@pytest.mark.parametrize("folder", ["notifier", "tests", "bench"])
def test_variables_are_called_what_they_hold(folder: str) -> None:
    """Variables with a refused name are rare."""
    lines = sum(len(path.read_text().splitlines()) for path in _files(folder))
    uses: Counter[str] = Counter()
    first: dict[str, str] = {}
    for path in _files(folder):
        for node in ast.walk(_parse(path)):
            name = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else ""
            if name in REFUSED:
                file = str(path.relative_to(ROOT))
                uses[file] += 1
                first.setdefault(file, f"first `{name}` in line {getattr(node, 'lineno', 0)}")
    worst = "\n".join(f"{count:4} {file}: {first[file]}" for file, count in uses.most_common(MAX_LISTED))
    rate = 1000 * uses.total() / lines
    assert rate <= MAX_REFUSED_PER_1000_LINES, f"{rate:.1f} in 1000 lines, {uses.total()} in all\n{worst}"


def test_bounds_are_called_max_and_min() -> None:
    """A constant for a bound is named `MAX_` or `MIN_`."""
    others = [
        f"{_place(path, node)}: {node.id}"
        for folder in ("notifier", "tests", "bench")
        for path in _files(folder)
        for node in ast.walk(_parse(path))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        if node.id.isupper() and REFUSED_BOUNDS.search(node.id)
    ]
    assert not others, _list(others)


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import below a node, also inside functions, but not those for type checkers."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        children: Iterable[ast.AST] = node.orelse
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from _imports(child)


def _import_graph() -> dict[str, dict[str, str]]:
    """For each module of the package, the modules that it imports, with file and line."""
    modules = {_module(path): path for path in _files("notifier")}
    graph: dict[str, dict[str, str]] = {module: {} for module in modules}
    for module, path in modules.items():
        for node in _imports(_parse(path)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [name if name in modules else str(node.module) for name in names]
            for name in names:
                if name in modules and name != module:
                    graph[module].setdefault(name, _place(path, node))
    return graph


def _reachable(graph: dict[str, dict[str, str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            waiting += graph[module]
    return seen


def test_no_modules_import_each_other() -> None:
    """No import cycle between modules of the package, inside packages either."""
    graph = _import_graph()
    reachable = {module: _reachable(graph, module) for module in graph}
    inside = [
        f"{place}: {module} imports {target}, which leads back to it"
        for module, targets in graph.items()
        for target, place in targets.items()
        if module in reachable[target]
    ]
    assert not inside, _list(inside)


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _contains(words: list[str], term: list[str]) -> bool:
    """True if the name contains the term's words in order, in the singular or the plural."""
    size = len(term)
    return any(
        words[start : start + size - 1] == term[:-1] and words[start + size - 1] in {term[-1], term[-1] + "s"}
        for start in range(len(words) - size + 1)
    )


def test_the_glossary_explains_each_house_term() -> None:
    """Each of our own terms that a public name contains has a row in the glossary."""
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    explained = [_words(row) for row in rows]
    public = [(_words(item.name), item.place) for item in _definitions() if not item.name.startswith("_")]
    missing = []
    for term in HOUSE_TERMS:
        words = term.split()
        if not any(_contains(row, words) for row in explained):
            missing += [f"{term}: in a name at {place}" for name, place in public if _contains(name, words)][:1]
    assert not missing, _list(missing)
