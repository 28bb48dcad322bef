"""Quote a definition as it stands in a file: hints and comments kept, docstrings left out."""

import ast
from pathlib import Path

from gptcourse.errors import CourseError

Documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def quote(root: Path, file: str, names: tuple[str, ...]) -> str:
    """Return the source of an in-step cell: ``file`` as a comment, then its definitions ``names``.

    Raises CourseError when the file, or a definition in it, is not there.
    """
    path = root / file
    if not path.is_file():
        raise CourseError(f"no file {file} to quote {', '.join(names)} from")
    source = path.read_text(encoding="utf-8")
    return f"# {file}\n" + "\n\n\n".join(definition(source, name, file) for name in names)


def definition(source: str, name: str, file: str = "the source") -> str:
    """Return one top-level definition of ``source``: function, class or constant.

    Works on the text's own lines, so that comments and formatting survive; comments that stand
    directly above the definition belong to it.
    """
    tree = ast.parse(source)
    found = [node for node in tree.body if name in _names(node)]
    if not found:
        known = ", ".join(sorted(set().union(*map(_names, tree.body))))
        raise CourseError(f"{file} defines no {name}: it defines {known}")
    node, lines = found[-1], source.splitlines()
    first, last = _first_line(node, lines), node.end_lineno or node.lineno
    kept = {number: lines[number - 1] for number in range(first, last + 1)}
    for inner in ast.walk(node):
        if isinstance(inner, Documented):
            _drop_docstring(inner, kept)
    return "\n".join(kept[number] for number in sorted(kept)).rstrip()


def _names(node: ast.stmt) -> set[str]:
    """Return the names that a top-level statement defines."""
    if isinstance(node, Documented):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _first_line(node: ast.stmt, lines: list[str]) -> int:
    """Return the number of the definition's first line, decorators and comments above included."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return first


def _drop_docstring(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, kept: dict[int, str]
) -> None:
    """Remove the docstring's lines, and the blank ones after it, from ``kept``."""
    if ast.get_docstring(node, clean=False) is None:
        return
    text = node.body[0]
    first, last = text.lineno, text.end_lineno or text.lineno
    indent = kept[first][: text.col_offset]
    for number in range(first, last + 1):
        del kept[number]
    if len(node.body) == 1:
        kept[first] = f"{indent}pass"
        return
    while not kept.get(last + 1, "code").strip():
        last += 1
        del kept[last]
