"""Keep the notebooks in step with the package: quoted definitions, set-up cell, links, form.

A cell tagged ``in-step`` quotes one file: its first line names the file, ``# gptlib/model.py``,
and the names that it defines are looked up there, in the cell's own order. To quote something new,
tag a cell, write ``def name(): pass`` below the file, and refresh.
"""

import ast
import difflib
from pathlib import Path

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
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def refresh(
    wanted: list[str], check: bool = False, folder: Path | None = None, address: Address = HOME
) -> str:
    """Rewrite what notebooks quote from the package; return what differed, as a unified diff.

    Metadata and ids get the course's form, whatever Jupyter wrote there. With ``check`` nothing is
    written. Stored outputs stay as they are: execute afterwards.
    """
    differences = []
    for path in find_notebooks(wanted, folder):
        stored = read_notebook(path)
        notebook = normalized(stored)
        difference = "" if notebook == stored else f"{path.name}: not in the course's form\n"
        difference += refresh_notebook(notebook, path.stem, address=address)
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
        where, due = f"{name}.ipynb, cell {number}", cell.source
        if number == 1 and cell.cell_type == "markdown":
            due = with_links(cell.source, name, address)
        elif has_tag(cell, "setup"):
            due = setup_cell(address)
        elif has_tag(cell, "in-step"):
            due = quote(*quoted(cell, where), root)
        if cell.source != due:
            sides = f"{where} (notebook)", f"{where} (package)"
            have, cell.source = cell.source.splitlines(), due
            differences += [*difflib.unified_diff(have, due.splitlines(), *sides, lineterm=""), ""]
    return "\n".join(differences)


def quoted(cell: Cell, where: str) -> tuple[str, list[str]]:
    """Read from an in-step cell what it quotes; raises CourseError where it does not say."""
    first, tree = cell.source.split("\n", 1)[0].strip(), parsed(cell.source)
    if not (first.startswith("# ") and first.endswith(".py")):
        raise CourseError(
            f"{where} is tagged in-step but begins with {first!r}: "
            "name the file there, such as # gptlib/model.py"
        )
    names = [name for node in tree.body for name in names_of(node)] if tree else []
    if not names:
        raise CourseError(
            f"{where} is tagged in-step but defines nothing: write def name(): pass for each "
            f"definition of {first[2:]} that it quotes"
        )
    return first[2:], names


def quote(file: str, names: list[str], root: Path) -> str:
    """Return the source of an in-step cell: the file as a comment, then its definitions.

    Raises CourseError when the file, or a definition in it, is not there.
    """
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
    tree, lines = ast.parse(source), source.splitlines()
    found = [node for node in tree.body if name in names_of(node)]
    if not found:
        known = ", ".join(sorted({name for node in tree.body for name in names_of(node)}))
        raise CourseError(f"{file} defines no {name}: it defines {known}")
    node, dropped = found[-1], set()
    for inner in ast.walk(node):
        if isinstance(inner, Documented) and ast.get_docstring(inner, clean=False) is not None:
            text = inner.body[0]
            start, end = text.lineno, text.end_lineno or text.lineno
            if len(inner.body) == 1:
                lines[start - 1] = f"{lines[start - 1][: text.col_offset]}pass"
                start += 1
            else:  # blank lines below it go as well
                while not lines[end].strip():
                    end += 1
            dropped |= set(range(start, end + 1))
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    numbers = range(first, (node.end_lineno or first) + 1)
    return "\n".join(lines[n - 1] for n in numbers if n not in dropped).rstrip()


def names_of(node: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines."""
    if isinstance(node, Documented):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    return [target.id for target in targets if isinstance(target, ast.Name)]


def with_links(source: str, name: str, address: Address) -> str:
    """Return the title cell's text with links under its first line, once there is an address."""
    title, *lines = source.split("\n")
    for index in reversed(range(len(lines))):
        if lines[index].startswith(LINKS):  # to where the course was before
            del lines[index - 1 : index + 1]  # the blank line above it as well
    if address.published:
        where = f"{address.slug}/blob/{address.tag}/notebooks/{name}.ipynb"
        colab = f"https://colab.research.google.com/github/{where}"
        kaggle = f"https://www.kaggle.com/kernels/welcome?src=https://github.com/{where}"
        lines = ["", f"{LINKS}({colab}) · [Kaggle]({kaggle})", *lines]
    return "\n".join([title, *lines])
