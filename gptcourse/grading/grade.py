"""Grade a class: find what was handed in, have it judged, and write down the marks.

A submission is one notebook of one learner. Its exercises' cells run in a process of their own
(:mod:`gptcourse.grading.worker`), held to a time and, on Linux, an amount of memory.
"""

import ast
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from gptcourse import STORED
from gptcourse.errors import CourseError
from gptcourse.grading.report import WAY_OUT, Mark, State, plain, write_grades
from gptcourse.notebooks.cells import (
    STUB,
    Cell,
    Notebook,
    checked,
    code_cells,
    defines,
    find_notebooks,
    has_tag,
    parsed,
    plain_python,
    read_notebook,
)
from gptcourse.paths import REPOSITORY
from gptlib import environment
from gptlib.files import wrong_file

CATALOG = "gptcourse.exercises.checks"  # the module whose EXERCISES judge
LARGEST = 256 * 10**6  # bytes of a notebook: pictures that a learner drew are welcome
START = 300.0  # seconds for a process to begin: a cold disk, a machine that has much else to do
# -P: a file that a cell leaves in the working folder is not taken for a module.
PROGRAM = "import sys; sys.path[:0] = sys.argv[3:]; from gptcourse.grading.worker import main; "
PROGRAM += "main(*sys.argv[1:3])"
# What browsers, Jupyter and Canvas put behind a name: "02_attention (1)", "-Copy1", "-1".
COPY = re.compile(r"( ?\(\d+\)|-Copy\d+|-\d+)$")


class Limits(NamedTuple):
    """What one exercise may take."""

    seconds: float = 60.0
    memory: int = 4 * 10**9  # bytes, of each process


class Sheet(NamedTuple):
    """What grading takes from the instructor's copy of one notebook."""

    notebook: str
    imports: list[str]  # the cells under the set-up: "what this notebook uses"
    definitions: list[str]  # what the notebook quotes from the package above its exercises
    exercises: list[str]


def grade(
    folder: Path,
    wanted: list[str],
    out: Path | None = None,
    limits: Limits = Limits(),  # noqa: B008
    notebooks: Path | None = None,
    catalog: str = CATALOG,
    say: Callable[[str], None] = print,
) -> list[Mark]:
    """Grade what learners handed in, and write grades.csv and grades.html.

    Args:
        folder: see :func:`find_submissions`.
        wanted: which notebooks, as numbers or names; none means all.
        out: where the results go, replacing older ones; left out: beside ``folder``.
        limits: of each exercise.
        notebooks: the folder of the instructor's copies.
        catalog: the module whose EXERCISES judge.
        say: takes a line on each submission.

    Raises CourseError when there is nothing to grade, or the instructor's copy does not run;
    OSError when the results have no place.
    """
    folder = folder.resolve()
    out = (out or folder.with_name(f"{folder.name}-grades")).resolve()
    if out.is_relative_to(folder):
        raise CourseError(f"{plain(out)} lies among the submissions: give another --out")
    names = [path.stem for path in find_notebooks([], notebooks)]
    learners, handed_in, strangers = find_submissions(folder, names)
    copies = find_notebooks(wanted, notebooks)
    sheets = [sheet_of(path.stem, read_notebook(path)) for path in copies]
    sheets = [sheet for sheet in sheets if sheet.exercises]
    if not sheets:
        asked = ", ".join(path.stem for path in copies)
        raise CourseError(f"{asked}: no exercises to grade there; name other notebooks, or none")
    out.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=out).close()  # or an hour's work would have no place
    marks: list[Mark] = []
    for learner in learners:
        for sheet in sheets:
            path, started = handed_in.get((learner, sheet.notebook)), time.monotonic()
            found = marks_of(path, sheet, limits, catalog)
            marks += (Mark(learner, sheet.notebook, name, *each) for name, each in found.items())
            if path is not None:
                passed = sum(state is State.PASSED for state, _ in found.values())
                told = f"{passed} of {len(found)} passed  {time.monotonic() - started:.1f} s"
                say(f"{plain(learner, 40)}  {sheet.notebook}  {told}")
    for name in strangers:
        say(f"not recognized: {plain(name)}")
    if strangers:
        say(WAY_OUT)
    say(plain(write_grades(out, marks, strangers)))
    return marks


def sheet_of(name: str, notebook: Notebook) -> Sheet:
    """Take from a notebook of the course what grading needs."""
    cells = [cell for cell in code_cells(notebook) if not has_tag(cell, "setup")]
    above = list(takewhile(lambda cell: not has_tag(cell, "solution"), cells))
    imports = [plain_python(cell.source) for cell in takewhile(imports_something, above)]
    definitions = [plain_python(cell.source) for cell in above if has_tag(cell, "in-step")]
    names = [checked(cell.source) for cell in cells if has_tag(cell, "solution")]
    return Sheet(name, imports, definitions, [each for each in names if each])


def imports_something(cell: Cell) -> bool:
    """Whether a cell stands for "what this notebook uses"; a long list may fill two cells."""
    tree = parsed(plain_python(cell.source))
    return tree is not None and any(isinstance(e, ast.Import | ast.ImportFrom) for e in tree.body)


def find_submissions(
    folder: Path, notebooks: list[str]
) -> tuple[list[str], dict[tuple[str, str], Path], list[str]]:
    """Look for the course's ``notebooks`` among what learners handed in.

    A learner's notebooks lie somewhere in a sub-folder of their name, or beside each other as
    Canvas gives them: ``ada_12_345_02_attention-1.ipynb``. Of two of one name, the one with the
    shorter path counts.

    Returns the learners; their notebooks, by learner and name; and what is not recognized: other
    files, and folders of learners without any notebook. Raises CourseError when there is no such
    folder, or none of the notebooks in it.
    """
    if not folder.is_dir():
        raise CourseError(f"no folder {plain(folder)}: give one with a sub-folder for each learner")
    found: dict[tuple[str, str], Path] = {}
    learners, strangers = set(), []
    for each in sorted(folder.iterdir()):
        if each.name.startswith((".", "__")):
            continue
        learners |= {each.name} if each.is_dir() else set()
        inside = [p for p in each.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
        for path in sorted(inside, key=lambda p: (len(str(p)), p)) or [each]:
            stem = COPY.sub("", path.stem) if path.suffix == ".ipynb" else ""
            name = next((name for name in notebooks if stem.endswith(name)), "")
            learner = each.name if each.is_dir() else stem.removesuffix(name).split("_")[0]
            if name and learner and (learner, name) not in found:
                found[learner, name] = path
                learners.add(learner)
            else:
                strangers.append(str(path.relative_to(folder)))
    if not found:
        raise CourseError(f"no notebook of the course in {plain(folder)}. {WAY_OUT}")
    return sorted(learners), found, strangers


def read_submission(path: Path, exercises: list[str]) -> tuple[dict[str, str], list[str]]:
    """Read a notebook, whatever state it is in.

    Returns the cells of exercises, by exercise; then these again and all code cells behind them.
    Raises CourseError where it cannot be read.
    """
    try:
        if problem := wrong_file(path):
            raise ValueError(problem)
        if not 0 < (size := path.stat().st_size) <= LARGEST:
            raise ValueError(f"it has {size:,} bytes, not 1 to {LARGEST:,}")
        cells = [cell for cell in json.loads(path.read_bytes())["cells"] if isinstance(cell, dict)]
        code = [cell.get("source") for cell in cells if cell.get("cell_type") == "code"]
        sources = ["".join(source or "") for source in code]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as wrong:
        told = f"{type(wrong).__name__}: {wrong}"
        raise CourseError(f"the file cannot be read as a notebook ({told})") from wrong
    found = {name: cell for name in exercises if (cell := cell_of(name, sources)) is not None}
    return found, [*found.values(), *map(plain_python, sources)]


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


def marks_of(
    path: Path | None, sheet: Sheet, limits: Limits, catalog: str
) -> dict[str, tuple[State, str]]:
    """Return how each exercise of a submission stands, and what is said of it.

    All its cells run in one process, in their order; where one of them ends or spoils it, the
    others run in the next.
    """
    if path is None:
        return dict.fromkeys(sheet.exercises, (State.NOT_HANDED_IN, "not handed in"))
    try:
        left, others = read_submission(path, sheet.exercises)
    except CourseError as problem:
        return dict.fromkeys(sheet.exercises, (State.FAILED, str(problem)))
    absent = "no cell of the notebook defines my_{}"
    found = {name: (State.NOT_HANDED_IN, absent.format(name)) for name in sheet.exercises}
    task = {"imports": sheet.imports, "definitions": sheet.definitions, "others": others}
    while left:
        answers, ending = run_worker({**task, "cells": left}, limits, catalog)
        begun = answers.pop(0) if answers else {"problem": f"their process {ending}"}
        if told := begun["problem"]:
            raise CourseError(f"{sheet.notebook}: its imports do not run here: {told}")
        if len(answers) < len(left) and not (answers and answers[-1]["spoiled"]):
            answers.append({"passed": False, "message": f"the cell, or its function, {ending}"})
        for name, answer in zip(list(left), answers, strict=False):
            state = State.FAILED if answer.get("done", True) else State.NOT_DONE
            found[name] = State.PASSED if answer["passed"] else state, answer["message"]
            del left[name]
    return found


def run_worker(
    task: dict[str, Any], limits: Limits, catalog: str
) -> tuple[list[dict[str, Any]], str]:
    """Run one process that judges cells; see :func:`gptcourse.grading.worker.main`.

    It works in an empty folder that is thrown away. When this returns, it has ended, and so has
    all that it started.

    Returns its answers, of which the first is on the imports, and how it ended, in words.
    """
    token = secrets.token_hex(8)  # only the worker's answers begin with it, no line of a cell's
    with tempfile.TemporaryDirectory(prefix="gptlib-grade-", ignore_cleanup_errors=True) as made:
        folder, work = Path(made), Path(made, "work")
        work.mkdir()
        task = {**task, **limits._asdict(), "token": token}
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        variables = {"MPLBACKEND": "agg", "PYTHONIOENCODING": "utf-8:replace", **STORED}
        variables |= dict.fromkeys(("GPTLIB_RUNS", "TMPDIR", "TEMP", "TMP"), str(work))
        with (
            open(folder / "answers", "wb") as channel,
            subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, made, catalog, str(REPOSITORY)],
                stdin=subprocess.PIPE,  # closed when the grader is gone: the worker ends as well
                stdout=channel,
                stderr=subprocess.DEVNULL,
                cwd=work,
                env=environment.variables(**variables),
                start_new_session=True,  # Ctrl-C is for the grader, which ends this process
            ) as process,
        ):
            try:  # a cell may have stopped the watch by which the worker ends itself
                with suppress(subprocess.TimeoutExpired):
                    process.wait(START + limits.seconds * len(task["cells"]))
            finally:
                process.kill()
                if hasattr(os, "killpg"):
                    with suppress(OSError):  # nothing is left of what it started
                        os.killpg(process.pid, signal.SIGKILL)
        text = (folder / "answers").read_text(encoding="utf-8", errors="replace")
    *lines, _unfinished = text.split("\n")
    answers = [json.loads(line.removeprefix(token)) for line in lines if line.startswith(token)]
    ending = f"ended the process (exit code {process.returncode})"
    if "\nTimeout (" in text.rpartition(token)[2]:
        ending = f"took longer than {limits.seconds:g} seconds"
    return answers, ending
