"""Keep the notebooks in step with the package: quoted definitions, set-up cell, links, form.

A cell tagged ``in-step`` quotes one file: its first line names the file, ``# gptlib/model.py``,
and the names that it defines are looked up there, in the cell's own order. To quote something new,
tag a cell, write ``def name(): pass`` below the file, and refresh.
"""

import ast
import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.cells import (
    Cell,
    Notebook,
    find_notebooks,
    has_tag,
    normalized,
    parsed,
    read_notebook,
    write_notebook,
)
from gptcourse.setup import HOME, Address, setup_cell

LINKS = "Open in [Colab]"  # how the line of links in a notebook's first cell begins
Documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Quote(NamedTuple):
    """What one in-step cell quotes."""

    file: str  # from the repository's root, with forward slashes
    names: list[str]  # of functions, classes and constants


def refresh(
    wanted: list[str],
    check: bool = False,
    folder: Path | None = None,
    address: Address = HOME,
) -> str:
    """Rewrite what notebooks quote from the package; return what differed, as a unified diff.

    Metadata and ids get the course's form, whatever Jupyter wrote there. With ``check`` nothing is
    written. Stored outputs stay as they are: execute afterwards.
    """
    differences = []
    for path in find_notebooks(wanted, folder):
        stored = read_notebook(path)
        notebook = normalized(stored)
        changed = "" if notebook == stored else f"{path.name}: not in the course's form\n"
        difference = changed + refresh_notebook(notebook, path.stem, address=address)
        if difference and not check:
            write_notebook(path, notebook)
        differences.append(difference)
    return "".join(differences)


def refresh_notebook(
    notebook: Notebook, name: str, root: Path = paths.REPOSITORY, address: Address = HOME
) -> str:
    """Rewrite ``notebook``'s cells in place and return the unified diff of what changed."""
    differences = []
    for number, cell in enumerate(notebook.cells, 1):
        where = f"{name}.ipynb, cell {number}"
        due = _due(cell, where, name, root, address, first=number == 1)
        if cell.source != due:
            differences.append(_diff(cell.source, due, where))
            cell.source = due
    return "".join(differences)


def _due(cell: Cell, where: str, name: str, root: Path, address: Address, first: bool) -> str:
    """Return the source that a cell should have; most cells' is their own."""
    source: str = cell.source
    if first and cell.cell_type == "markdown":
        return _with_links(source, links(name, address))
    if has_tag(cell, "setup"):
        return setup_cell(address)
    if has_tag(cell, "in-step"):
        return quote(quoted(source, where), root)
    return source


def quotes(notebook: Notebook, name: str) -> Iterator[Quote]:
    """Yield what each in-step cell of a notebook quotes."""
    for number, cell in enumerate(notebook.cells, 1):
        if has_tag(cell, "in-step"):
            yield quoted(cell.source, f"{name}.ipynb, cell {number}")


def quoted(source: str, where: str) -> Quote:
    """Read from an in-step cell what it quotes; raises CourseError where it does not say."""
    first, tree = source.split("\n", 1)[0].strip(), parsed(source)
    if not (first.startswith("# ") and first.endswith(".py")):
        raise CourseError(
            f"{where} is tagged in-step but begins with {first!r}: "
            "name the file there, such as # gptlib/model.py"
        )
    names = [name for node in tree.body for name in _names(node)] if tree else []
    if not names:
        raise CourseError(
            f"{where} is tagged in-step but defines nothing: write def name(): pass for each "
            f"definition of {first[2:]} that it quotes"
        )
    return Quote(first[2:], names)


def quote(wanted: Quote, root: Path) -> str:
    """Return the source of an in-step cell: the file as a comment, then its definitions.

    Raises CourseError when the file, or a definition in it, is not there.
    """
    file, names = wanted
    path = root / file
    if not path.is_file():
        raise CourseError(f"no file {file} to quote {', '.join(names)} from")
    source = path.read_text(encoding="utf-8")
    return f"# {file}\n" + "\n\n\n".join(definition(source, name, file) for name in names)


def definition(source: str, name: str, file: str = "the source") -> str:
    """Return one top-level definition of ``source``, its docstrings left out.

    Works on the text's own lines, so that comments and formatting survive; comments that stand
    directly above the definition belong to it.
    """
    tree = ast.parse(source)
    found = [node for node in tree.body if name in _names(node)]
    if not found:
        known = ", ".join(sorted({name for node in tree.body for name in _names(node)}))
        raise CourseError(f"{file} defines no {name}: it defines {known}")
    node, lines = found[-1], source.splitlines()
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    kept = {number: lines[number - 1] for number in range(first, (node.end_lineno or 0) + 1)}
    for inner in ast.walk(node):
        if isinstance(inner, Documented) and ast.get_docstring(inner, clean=False) is not None:
            _drop_docstring(inner.body, kept)
    return "\n".join(kept[number] for number in sorted(kept)).rstrip()


def _names(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines."""
    if isinstance(node, Documented):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign):
        targets = [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _drop_docstring(body: list[ast.stmt], kept: dict[int, str]) -> None:
    """Remove a docstring's lines, and the blank ones after it, from ``kept``."""
    first, last = body[0].lineno, body[0].end_lineno or body[0].lineno
    indent = kept[first][: body[0].col_offset]
    for number in range(first, last + 1):
        del kept[number]
    if len(body) == 1:
        kept[first] = f"{indent}pass"
        return
    while not kept.get(last + 1, "code").strip():
        last += 1
        del kept[last]


def links(name: str, address: Address = HOME) -> list[str]:
    """Return the lines of links under a notebook's title: none while there is no address."""
    if not address.published:
        return []
    where = f"{address.slug}/blob/{address.tag}/notebooks/{name}.ipynb"
    colab = f"https://colab.research.google.com/github/{where}"
    kaggle = f"https://www.kaggle.com/kernels/welcome?src=https://github.com/{where}"
    return ["", f"{LINKS}({colab}) · [Kaggle]({kaggle})"]


def _with_links(source: str, links: list[str]) -> str:
    """Return the title cell's text with the links under its first line, and no older ones."""
    lines = source.split("\n")
    for index in reversed(range(len(lines))):
        if lines[index].startswith(LINKS):
            del lines[index - 1 : index + 1]  # the blank line above it as well
    return "\n".join([lines[0], *links, *lines[1:]])


def _diff(have: str, due: str, where: str) -> str:
    sides = f"{where} (notebook)", f"{where} (package)"
    lines = difflib.unified_diff(have.splitlines(), due.splitlines(), *sides, lineterm="")
    return "\n".join(lines) + "\n"
