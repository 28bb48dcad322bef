"""The notebooks and their cells: found, read, written in one form, and looked into."""

import ast
import copy
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import nbformat.sign

from gptcourse import paths
from gptcourse.errors import CourseError
from gptlib.files import atomic_write

Cell = Any  # nbformat's cells are dictionaries with attribute access, typed by nobody
Notebook = Any

METADATA = {  # Jupyter writes both of its own accord as well, with a version
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    # By the last two, nbconvert --to script writes a .py file that is Python.
    "language_info": {"name": "python", "file_extension": ".py", "nbconvert_exporter": "python"},
}


def find_notebooks(wanted: Iterable[str] = (), folder: Path | None = None) -> list[Path]:
    """Return the notebooks in order, or only the ``wanted``: ``02``, ``2`` or the start of a name.

    Raises CourseError for a wish that matches none, or when there are no notebooks.
    """
    folder = folder or paths.NOTEBOOKS
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise CourseError(f"no notebooks in {folder}")
    chosen: set[Path] = set()
    for wish in wanted:
        start = Path(wish).stem.zfill(2)
        matches = {path for path in every if path.stem.startswith(start)}
        if not matches:
            known = ", ".join(path.stem for path in every)
            raise CourseError(f"no notebook begins with {wish!r}: there are {known}")
        chosen |= matches
    return sorted(chosen or every)


def read_notebook(path: Path) -> Notebook:
    """Return the notebook stored at ``path``; raises CourseError when it is not one."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, KeyError, AttributeError) as problem:
        raise CourseError(f"{path.name} cannot be read as a notebook: {problem}") from problem


def write_notebook(path: Path, notebook: Notebook) -> None:
    """Write ``notebook`` to ``path`` whole or not at all."""
    with atomic_write(path) as file:
        file.write((nbformat.writes(notebook).rstrip("\n") + "\n").encode("utf-8"))


def trust_notebooks() -> None:
    """Sign the course's own notebooks, so that Jupyter shows their drawings, SVG, when they open.

    No others: a signature lets outputs run scripts in the reader's page.
    """
    notary = nbformat.sign.NotebookNotary()
    for path in find_notebooks():
        with suppress(CourseError):  # Jupyter will say what is wrong with it
            notary.sign(read_notebook(path))


def code_cells(notebook: Notebook) -> list[Cell]:
    """Return the notebook's code cells in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def has_tag(cell: Cell, tag: str) -> bool:
    """Return whether ``cell`` carries ``tag``."""
    return tag in cell.metadata.get("tags", [])


def normalized(notebook: Notebook) -> Notebook:
    """Return ``notebook`` in the form that is committed: no times, machines or versions in it.

    JupyterLab shows the code of a solution only when asked to.
    """
    notebook = copy.deepcopy(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"cell-{number:02d}"
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": list(tags)} if tags else {})
        if has_tag(cell, "solution"):
            cell.metadata["jupyter"] = nbformat.from_dict({"source_hidden": True})
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return notebook


# What stands in an exercise's cell

STUB = 'raise NotImplementedError("not done yet")'
# Lines of IPython's own: %time, !pip install, ?name, x = !ls, name?
COMMAND = re.compile(r"(?m)^([ \t]*)(?:(?:[%!?]|\w+ *= *[%!]).*|[^#'\"\n]*\?[ \t]*)$")
Function = ast.FunctionDef | ast.AsyncFunctionDef
CHECK = re.compile(r"(?m)^[ \t]*check\.(\w+)\(")  # found in a cell that does not parse, too


def plain_python(source: str) -> str:
    """The source without IPython's own lines, which are not Python; the lines keep their numbers.

    A source that is Python as it stands stays as it is: there, a line may begin with %.
    """
    return source if parsed(source) else COMMAND.sub(r"\1pass", source)


def parsed(source: str) -> ast.Module | None:
    """The source's tree, or None where it is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an escape such as "\\d", in a learner's text
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def checked(source: str) -> str | None:
    """The exercise whose check a cell calls, the last one if there are several."""
    names = CHECK.findall(source)
    return names[-1] if names else None


def defines(source: str, name: str) -> bool:
    """Whether a cell defines this name at its top, even where the cell does not parse."""
    return bool(re.search(rf"(?m)^(async +def|def|class) +{name}\b|^{name}\b[^=\n]*=(?!=)", source))


def last_call(source: str) -> tuple[str, list[str]]:
    """The call with which a solution cell ends, and what of the learner's is handed to it.

    Such as check.causal_weights, or swap; and the names my_… and My… among its arguments. An empty
    name where something else stands there.
    """
    tree = parsed(plain_python(source))
    last = tree.body[-1] if tree and tree.body else None
    if not isinstance(last, ast.Expr) or not isinstance(last.value, ast.Call):
        return "", []
    given = [*last.value.args, *(keyword.value for keyword in last.value.keywords)]
    names = [argument.id for argument in given if isinstance(argument, ast.Name)]
    return ast.unparse(last.value.func), [name for name in names if name.startswith(("my_", "My"))]


def learners_functions(tree: ast.Module) -> Iterator[Function]:
    """Yield what a learner writes: functions my_…, and the method forward of classes My…"""
    for node in tree.body:
        if isinstance(node, Function) and node.name.startswith("my_"):
            yield node
        elif isinstance(node, ast.ClassDef) and node.name.startswith("My"):
            for inner in node.body:
                if isinstance(inner, Function) and inner.name == "forward":
                    yield inner
