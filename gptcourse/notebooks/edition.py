"""The learner edition: the notebooks with stubs in place of solutions, and without outputs."""

import ast
import copy
import hashlib
import inspect
import io
import json
import os
import re
import textwrap
import tokenize
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
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
    written = written_before(out)
    root, editions = root_seen_from(out), {}
    for path in find_notebooks(wanted, folder):
        try:
            editions[path.name] = learner_edition(read_notebook(path), givens, root)
        except CourseError as problem:
            raise CourseError(f"{path.name}: {problem}") from None
    for name in editions:
        if (out / name).exists() and _hash_of(out / name) not in written.get(name, []):
            raise CourseError(
                f"{out / name} holds work of yours: nothing was changed; rename it to get a fresh "
                f"one beside it, or name the notebooks to write by number"
            )
    hashes = {name: _hash(notebook) for name, notebook in editions.items()}
    added = {name: [*written.get(name, []), each] for name, each in hashes.items()}
    write_json(out / MANIFEST, {"edition": "learner", "files": written | added})
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


def _hash_of(path: Path) -> str:
    """The hash of what a learner sees of a notebook; "" where it is none any more."""
    try:
        return _hash(read_notebook(path))
    except CourseError:
        return ""


def _hash(notebook: Notebook) -> str:
    """A hash that stays when Jupyter only opened the notebook, and wrote its kernel into it."""
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
        if cell.cell_type == "markdown":
            text = _without_address(cell.source)
            cell.source = UPWARDS.sub(lambda link: f"{link[1]}{root}/{link[2]}", text)
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        if has_tag(cell, "solution"):
            cell.source = stubbed(cell.source, givens)
            cell.metadata = nbformat.from_dict({"tags": ["exercise"]})
    return normalized(notebook)


def _without_address(source: str) -> str:
    """Leave out the links that open the worked notebook elsewhere."""
    lines = source.split("\n")
    return "\n".join(line for line in lines if not line.startswith(LINKS))


def stubbed(source: str, givens: Givens) -> str:
    """Return a solution cell's source with what the learner writes taken out.

    Raises CourseError when a given function does not take the parameters of the learner's.
    """
    tree, exercise = parsed(source), checked(source)
    if tree is None:
        raise CourseError(f"a cell tagged solution is no Python: {source[:60]!r}")
    given = givens.get(exercise) if exercise else None
    for node in reversed(list(learners_functions(tree))):
        body = STUB
        if given is not None and node.name == f"my_{exercise}":
            names, body = body_text(textwrap.dedent(inspect.getsource(given)))
            if names != parameters(node):
                raise CourseError(
                    f"{node.name} takes {', '.join(parameters(node))}, but the function given to "
                    f"mend takes {', '.join(names)}: make them agree"
                )
        source = with_body(source, node, body)
    return source


class Body(NamedTuple):
    """Where a function's body stands, without its docstring."""

    start: tuple[int, int]  # line, from 1, and characters before it: the signature's end
    last: int  # its last line; comments that close it are part of it
    indent: str


def body_of(node: Function, source: str) -> Body:
    """Find the body of a function by the text's own lines, comments included."""
    lines = source.split("\n")
    start = _end_of_signature(node, lines)
    indent = " " * (node.col_offset + 4)
    if ast.get_docstring(node, clean=False) is not None:
        text = node.body[0]
        line = text.end_lineno or text.lineno
        start = line, len(lines[line - 1].encode()[: text.end_col_offset].decode())
    last = node.end_lineno or node.lineno
    ahead = last  # comments behind the last statement, indented more than the function
    while ahead < len(lines) and _may_close(lines[ahead], node.col_offset):
        ahead += 1
        if lines[ahead - 1].strip():
            last = ahead
    return Body(start, last, indent)


def _may_close(line: str, column: int) -> bool:
    deep = len(line) - len(line.lstrip()) > column
    return not line.strip() or (deep and line.lstrip().startswith("#"))


def _end_of_signature(node: Function, lines: list[str]) -> tuple[int, int]:
    """Return the line of the colon that ends the signature, and the characters up to it."""
    depth = 0
    text = "\n".join(lines[node.lineno - 1 :]) + "\n"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and depth == 0:
                return node.lineno - 1 + token.end[0], token.end[1]
    raise AssertionError("unreachable: ast has read this signature")


def with_body(source: str, node: Function, body: str) -> str:
    """Return the source with the function's body replaced; its signature and docstring stay."""
    place, lines = body_of(node, source), source.split("\n")
    line, column = place.start
    kept = [*lines[: line - 1], lines[line - 1][:column]]
    new = [f"{place.indent}{text}" if text else "" for text in body.split("\n")]
    return "\n".join([*kept, *new, *lines[place.last :]])


def body_text(source: str) -> tuple[list[str], str]:
    """Of a source that holds one function: its parameters, and its body without indentation."""
    tree = ast.parse(source)
    node = next(node for node in tree.body if isinstance(node, Function))
    place, lines = body_of(node, source), source.split("\n")
    line, column = place.start
    text = [lines[line - 1][column:].strip(), *lines[line : place.last]]
    while text and not text[0].strip():
        del text[0]
    own = min((len(t) - len(t.lstrip()) for t in text if t.strip()), default=0)
    return parameters(node), "\n".join(t[own:] for t in text)


def parameters(node: Function) -> list[str]:
    """The names of a function's parameters, in order."""
    names = node.args
    starred = [one for one in (names.vararg, names.kwarg) if one is not None]
    every = [*names.posonlyargs, *names.args, *names.kwonlyargs, *starred]
    return [each.arg for each in every]
