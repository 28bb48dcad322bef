"""What learners handed in: their notebooks, and the cells of exercises in them."""

import json
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gptcourse.errors import CourseError
from gptcourse.notebooks.cells import STUB, checked, defines, parsed, plain_python
from gptlib.files import wrong_file

LARGEST = 256 * 10**6  # bytes: pictures that a learner drew are welcome


@dataclass(frozen=True)
class Submission:
    """One notebook of one learner."""

    handed_in: bool = True
    problem: str = ""  # why it cannot be read
    cells: dict[str, str] = field(default_factory=dict)  # the source, by exercise
    others: list[str] = field(default_factory=list)  # these again, then every code cell


def find_submissions(
    folder: Path, notebooks: list[str]
) -> tuple[list[str], dict[tuple[str, str], Path], list[Path]]:
    """Look for the course's ``notebooks`` in each learner's sub-folder of ``folder``.

    Returns:
        The learners; their notebooks, by learner and name; and what is not recognized: files, and
        folders of learners without any notebook.

    Raises:
        CourseError: there is no such folder, or none of the notebooks in it.
    """
    if not folder.is_dir():
        raise CourseError(f"no folder {plain(folder)}: give one with a sub-folder for each learner")
    shown = sorted(each for each in folder.iterdir() if not each.name.startswith((".", "__")))
    learners = [each for each in shown if each.is_dir()]
    found, strangers = {}, [each for each in shown if not each.is_dir()]
    for learner in learners:
        own = [p for p in sorted(learner.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
        for path in own or [learner]:
            if path.parent == learner and path.stem in notebooks:
                found[learner.name, path.stem] = path
            else:
                strangers.append(path)
    if not found:
        raise CourseError(
            f"no notebook of the course in {plain(folder)}: each learner has a sub-folder, and "
            f"the notebooks in it keep their names, such as ada/{notebooks[0]}.ipynb"
        )
    return [each.name for each in learners], found, strangers


def read_submission(path: Path | None, exercises: list[str]) -> Submission:
    """Read the exercises' cells out of a notebook, whatever state it is in."""
    if path is None:
        return Submission(handed_in=False)
    try:
        size = path.lstat().st_size
        problem = wrong_file(path) or ("" if size else "it is empty")
        if size > LARGEST:
            problem = f"{path.name} has {size:,} bytes, not at most {LARGEST:,}"
        sources = [] if problem else code_sources(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError, MemoryError) as wrong:
        problem = f"it is no notebook ({type(wrong).__name__}: {wrong})"
    if problem:
        return Submission(problem=f"the file cannot be read: {problem}")
    cells = {name: cell for name in exercises if (cell := cell_of(name, sources)) is not None}
    return Submission(cells=cells, others=[*cells.values(), *map(plain_python, sources)])


def code_sources(book: Any) -> list[str]:
    """The code cells of a notebook's JSON; raises TypeError or ValueError where it is none."""
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        raise ValueError("it holds no list of cells")
    found = []
    for cell in book["cells"]:
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source")
        found.append(source if isinstance(source, str) else "".join(source or []))
    return found


def cell_of(exercise: str, sources: list[str]) -> str | None:
    """The cell of an exercise: one that defines my_name, better no stub, better checked, the last.

    Where none does, it is one with its check, or one that names the function and is no Python: it
    will say why. Colab and others lose tags, so none counts.
    """
    ranked = []
    for number, text in enumerate(sources):
        defining, checks = defines(text, f"my_{exercise}"), checked(text) == exercise
        named = re.search(rf"\bmy_{exercise}\b", text)
        if defining or checks or (named and parsed(plain_python(text)) is None):
            ranked.append((defining and STUB not in text, defining, checks, number, text))
    return plain_python(max(ranked)[-1]) if ranked else None


def plain(text: object, longest: int = 1_000) -> str:
    """Learners' text on one line: no control character, nothing that a file cannot hold."""
    line = " ".join(str(text).split())[:longest]
    return "".join(
        mark if unicodedata.category(mark)[0] != "C" else ascii(mark)[1:-1] for mark in line
    )
