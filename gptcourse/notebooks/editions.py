"""The learner edition: the notebooks with stubs in place of solutions, and without outputs."""

import copy
import inspect
import json
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.exercise_cells import (
    STUB,
    body_text,
    checked,
    learners_functions,
    parameters,
    parsed,
    with_body,
)
from gptcourse.notebooks.exercise_sections import exercises_in_form
from gptcourse.notebooks.in_step import LINKS
from gptcourse.notebooks.notebook_files import (
    Notebook,
    find_notebooks,
    has_tag,
    normalized,
    read_notebook,
    write_notebook,
)
from gptcourse.setup import HOME, Address
from gptlib.files import sha256_of, sync, write_json

MANIFEST = ".edition.json"  # what this command wrote, with the hash of each file
CHECKPOINTS = ".ipynb_checkpoints"  # JupyterLab makes it for whoever only looks
UPWARDS = re.compile(r"(\]\(|src=\"|href=\")\.\./([^)\"\s]*)")  # a link to the notebooks' parent
Givens = Mapping[str, Callable[..., Any]]  # the function that an exercise gives to be mended


def write_edition(
    wanted: list[str], out: Path, givens: Givens, folder: Path | None = None
) -> list[Path]:
    """Write the learner edition of the ``wanted`` notebooks, or of all, into ``out``.

    Notebooks of an older edition stay there beside the new ones. The folder is replaced as a
    whole: whatever happens, it holds the old edition or the new one.

    Args:
        wanted: numbers or names.
        out: a folder that is new, empty, or as this command left it.
        givens: by exercise, the function whose body a learner is given instead of a stub.
        folder: of the course's notebooks.

    Raises:
        CourseError: ``out`` holds something else, such as a learner's work, or an exercise is out
            of form, so that its answer might be published.
    """
    out = Path(os.path.realpath(out))
    older = written_before(out)
    root, editions = root_seen_from(out), {}
    for path in find_notebooks(wanted, folder):
        try:
            editions[path.name] = learner_edition(read_notebook(path), givens, root)
        except CourseError as problem:
            raise CourseError(f"{path.name}: {problem}") from None
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        for name, notebook in editions.items():
            write_notebook(part / name, notebook)
        for name in older - set(editions):
            shutil.copy2(out / name, part / name)
        hashes = {path.name: sha256_of(path) for path in sorted(part.iterdir())}
        if (out / CHECKPOINTS).is_dir():
            shutil.copytree(out / CHECKPOINTS, part / CHECKPOINTS)
        write_json(part / MANIFEST, {"edition": "learner", "files": hashes})
        sync(part)
        _replace(out, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [out / name for name in editions]


def written_before(out: Path) -> set[str]:
    """Return the files of an older edition in ``out``; raises CourseError if it holds more."""
    if not out.exists():
        for above in out.parents:
            if above.is_file():
                raise CourseError(f"{above} is a file: give another folder for the edition")
        return set()
    if not out.is_dir():
        raise CourseError(f"{out} is a file: give a folder for the edition")
    found = {path.name for path in out.iterdir()} - {MANIFEST, CHECKPOINTS, ".DS_Store"}
    try:
        hashes = json.loads((out / MANIFEST).read_bytes())["files"] if found else {}
        changed = [name for name in found if hashes.get(name) != sha256_of(out / name)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        changed = sorted(found)
    if changed:
        raise CourseError(
            f"{out} holds {min(changed)!r}, which is not as this command wrote it: "
            "nothing was changed there; give a new folder"
        )
    return found


def _replace(out: Path, part: Path) -> None:
    """Let ``part`` take the name ``out``; what stands there is removed only afterwards."""
    if not out.exists():
        os.rename(part, out)
    else:
        aside = part.with_suffix(".old")
        os.rename(out, aside)
        try:
            os.rename(part, out)
        except BaseException:
            os.rename(aside, out)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    sync(out.parent)


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
