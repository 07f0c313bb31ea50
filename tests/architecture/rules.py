"""The house rules, each a function from one file to what is wrong in it."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTION_LINES, FILE_LINES, SHARED_FILE_LINES = 50, 400, 300


@functools.lru_cache(maxsize=4096)
def nodes(tree: ast.Module) -> list[ast.AST]:
    """Every node of the tree; walked once, for all rules."""
    return list(ast.walk(tree))


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in nodes(tree) if isinstance(node, Function))


def imported(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Each import, wherever it stands, as a dotted name."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def docstring(node: ast.AST) -> range:
    """The lines of a module's, class's or function's docstring."""
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    value = first.value if isinstance(first, ast.Expr) else None
    if first is None or not isinstance(value, ast.Constant) or not isinstance(value.value, str):
        return range(0)
    return range(first.lineno, (first.end_lineno or first.lineno) + 1)


def no_commit(tree: ast.Module) -> Iterator[str]:
    """Transactions are committed by common/db.py alone: a function that commits cannot be part of another's."""
    for node in nodes(tree):
        called = node.func if isinstance(node, ast.Call) else None
        if isinstance(called, ast.Attribute) and called.attr == "commit":
            yield f"{node.lineno}: commits"  # type: ignore[attr-defined]


def session_or_database(tree: ast.Module) -> Iterator[str]:
    """A function works in its caller's transaction or opens its own; never both."""
    for function in functions(tree):
        arguments = function.args
        names = {a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
        if {"session", "db"} <= names:
            yield f"{function.lineno}: {function.name} takes both session and db"


def no_float(tree: ast.Module) -> Iterator[str]:
    """Money never meets a float, nor the built-in round(), which rounds 0.5 to 0."""
    for node in nodes(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"{node.lineno}: the float {node.value}"
        if isinstance(node, ast.Name) and node.id in ("float", "round"):
            yield f"{node.lineno}: uses {node.id}"


def one_public_function(tree: ast.Module, name: str) -> Iterator[str]:
    """usecases/x.py defines the public function x and no other; its dataclasses may stand beside it."""
    public = [node for node in tree.body if not getattr(node, "name", "_").startswith("_")]
    found = [node.name for node in public if isinstance(node, Function)]
    if found != [name]:
        yield f"1: defines {', '.join(found) or 'no public function'} instead of {name} alone"
    for node in public:
        if isinstance(node, ast.ClassDef) and not any(
            "dataclass" in ast.unparse(d) for d in node.decorator_list
        ):
            yield f"{node.lineno}: the class {node.name} belongs into domain"


def short_functions(tree: ast.Module) -> Iterator[str]:
    """A function fits on a screen; its docstring does not count."""
    for function in functions(tree):
        lines = (function.end_lineno or 0) - function.lineno + 1 - len(docstring(function))
        if lines > FUNCTION_LINES:
            yield f"{function.lineno}: {function.name} has {lines} lines"


def short_file(text: str, limit: int) -> Iterator[str]:
    lines = len(text.splitlines())
    if lines > limit:
        yield f"1: {lines} lines"


def no_mock(tree: ast.Module) -> Iterator[str]:
    """Fakes stand at the edges, with the interface of the real thing; httpx.MockTransport is such an edge."""
    for node, name in imported(tree):
        if "mock" in name.lower().split(".") or name.startswith("pytest_mock"):
            yield f"{node.lineno}: imports {name}"
    for function in functions(tree):
        if any(argument.arg == "mocker" for argument in function.args.args):
            yield f"{function.lineno}: {function.name} takes mocker"


def no_import_of(tree: ast.Module, forbidden: frozenset[str]) -> Iterator[str]:
    for node, name in imported(tree):
        if name.split(".")[0] in forbidden:
            yield f"{node.lineno}: imports {name}"


def impatient_migration(tree: ast.Module) -> Iterator[str]:
    """A migration gives up rather than queue behind a long query, and everybody else behind it."""
    for function in functions(tree):
        if function.name not in ("upgrade", "downgrade"):
            continue
        body = function.body[1:] if docstring(function) else function.body
        if function.name == "downgrade" and isinstance(body[0], ast.Raise | ast.Pass):
            continue
        if "SET LOCAL lock_timeout" not in ast.unparse(body[0]):
            yield f"{function.lineno}: {function.name} does not begin with SET LOCAL lock_timeout"


def code_lines(text: str) -> int:
    """How many lines hold code: neither empty, nor a comment, nor part of a docstring."""
    prose = {line for node in nodes(ast.parse(text)) for line in docstring(node)}
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return sum(1 for number, line in lines if line and not line.startswith("#") and number not in prose)
