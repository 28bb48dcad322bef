"""The learner edition: the notebooks with stubs in place of solutions, and without outputs."""

import ast
import copy
import hashlib
import inspect
import json
import os
import re
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.cells import (
    STUB,
    Function,
    Notebook,
    checked,
    find_notebooks,
    has_tag,
    learners_functions,
    normalized,
    parsed,
    read_notebook,
    write_notebook,
)
from gptcourse.notebooks.guards import exercises_in_form
from gptcourse.notebooks.in_step import LINKS
from gptcourse.setup import HOME, Address
from gptlib.files import write_json

MANIFEST = ".edition.json"  # the hashes of what this command ever wrote here, by notebook
UPWARDS = re.compile(r"(\]\(|src=\"|href=\")\.\./([^)\"\s]*)")  # a link to the notebooks' parent
Givens = Mapping[str, Callable[..., Any]]  # the function that an exercise gives to be mended


def write_edition(
    wanted: list[str], out: Path, givens: Givens, folder: Path | None = None
) -> list[Path]:
    """Write the learner edition of the ``wanted`` notebooks, or of all, into ``out``.

    Whatever else lies in the folder stays: other notebooks, a learner's own files. Each notebook
    is written whole or not at all.

    Args:
        wanted: numbers or names.
        out: a folder that is new, empty, or an edition already.
        givens: by exercise, the function whose body a learner is given instead of a stub.
        folder: of the course's notebooks.

    Raises:
        CourseError: one of the wanted notebooks holds a learner's work, ``out`` is no edition, or
            an exercise is out of form, so that its answer might be published.
    """
    out = out.resolve()
    written, root, editions = written_before(out), root_seen_from(out), {}
    for path in find_notebooks(wanted, folder):
        try:
            editions[path.name] = learner_edition(read_notebook(path), givens, root)
        except CourseError as problem:
            raise CourseError(f"{path.name}: {problem}") from None
    for name, notebook in editions.items():
        if (out / name).exists() and hash_of(out / name) not in written.get(name, []):
            raise CourseError(
                f"{out / name} holds work of yours: nothing was changed; rename it to get a fresh "
                f"one beside it, or name the notebooks to write by number"
            )
        written[name] = [*written.get(name, []), hash_of(notebook)]
    write_json(out / MANIFEST, {"edition": "learner", "files": written})
    for name, notebook in editions.items():
        write_notebook(out / name, notebook)
    return [out / name for name in editions]


def written_before(out: Path) -> dict[str, list[str]]:
    """Return the hashes of an edition in ``out``; raises CourseError if it is something else."""
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise CourseError(f"{place} is a file: give another folder for the edition")
    try:
        return dict(json.loads((out / MANIFEST).read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
            raise CourseError(
                f"{out} is neither empty nor an edition: nothing was changed; give a new folder"
            ) from None
        return {}


def hash_of(notebook: Notebook | Path) -> str:
    """A hash of what a learner sees, which stays when Jupyter only opened the notebook.

    "" for a file that is no notebook any more.
    """
    try:
        notebook = read_notebook(notebook) if isinstance(notebook, Path) else notebook
    except CourseError:
        return ""
    return hashlib.sha256(nbformat.writes(normalized(notebook)).encode()).hexdigest()


def root_seen_from(out: Path, address: Address = HOME) -> str:
    """Where links find the course's other files: its public address, or the way from ``out``."""
    if address.published:
        return f"{address.repository}/blob/{address.tag}"
    try:
        return quote(Path(os.path.relpath(paths.REPOSITORY, out)).as_posix())
    except ValueError:  # another drive of Windows
        return paths.REPOSITORY.as_uri()


def learner_edition(notebook: Notebook, givens: Givens, root: str = "..") -> Notebook:
    """Return the notebook as a learner gets it; ``root`` takes the place of ``..`` in links.

    Raises CourseError for an exercise out of form: its answer might be published.
    """
    faults = list(exercises_in_form(notebook))
    if faults:
        raise CourseError(f"{len(faults)} faults in its exercises: {'; '.join(faults)}")
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":  # without the links that open the worked one elsewhere
            lines = [line for line in cell.source.split("\n") if not line.startswith(LINKS)]
            cell.source = UPWARDS.sub(lambda link: f"{link[1]}{root}/{link[2]}", "\n".join(lines))
        elif cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if has_tag(cell, "solution"):
            cell.source = stubbed(cell.source, givens)
            cell.metadata = nbformat.from_dict({"tags": ["exercise"]})
    return normalized(notebook)


def stubbed(source: str, givens: Givens) -> str:
    """Return a solution cell's source with what the learner writes taken out.

    Signature and docstring stay. Raises CourseError when a given function does not take the
    parameters of the learner's.
    """
    tree, exercise = parsed(source), checked(source) or ""
    if tree is None:
        raise CourseError(f"a cell tagged solution is no Python: {source[:60]!r}")
    for node in reversed(list(learners_functions(tree))):
        body = STUB
        if exercise in givens and node.name == f"my_{exercise}":
            text = textwrap.dedent(inspect.getsource(givens[exercise]))
            given = next(each for each in ast.parse(text).body if isinstance(each, Function))
            if parameters(given) != parameters(node):
                raise CourseError(
                    f"{node.name} takes {', '.join(parameters(node))}, but the function given to "
                    f"mend takes {', '.join(parameters(given))}: make them agree"
                )
            body = textwrap.dedent(split(text, given)[1])
        above, _, below = split(source, node)
        source = f"{above}\n{textwrap.indent(body, ' ' * (node.col_offset + 4))}{below}"
    return source


def split(source: str, node: Function) -> tuple[str, str, str]:
    """Return a source above a function's body, the body, and what is below, by whole lines.

    A docstring is above. Comments belong to the body, also those that close it.
    """
    lines, first = source.split("\n"), node.body[0]
    start, end = first.lineno - 1, node.end_lineno or first.lineno
    before = lines[start].encode()[: first.col_offset].decode()
    if before.strip():  # def f(x): return x
        body = lines[start][len(before) :]
        return "\n".join([*lines[:start], before.rstrip()]), body, "\n".join(["", *lines[end:]])
    if ast.get_docstring(node, clean=False) is not None:
        start = first.end_lineno or first.lineno
    else:
        start = min([start, *(d.lineno - 1 for d in getattr(first, "decorator_list", []))])
        while not lines[start - 1].strip() or lines[start - 1].lstrip().startswith("#"):
            start -= 1
    for number in range(end, len(lines)):
        text = lines[number].lstrip()
        if text and not (text.startswith("#") and len(lines[number]) - len(text) > node.col_offset):
            break
        end = number + 1 if text else end
    body = "\n".join(lines[start:end]).strip("\n")
    return "\n".join(lines[:start]), body, "\n".join(["", *lines[end:]])


def parameters(node: Function) -> list[str]:
    """The names of a function's parameters, in order."""
    return [each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)]
