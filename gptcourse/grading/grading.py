"""Grade a class: run each learner's exercise cells apart, and judge them with our own checks."""

import ast
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from gptcourse.errors import CourseError
from gptcourse.grading.grades import WAY_OUT, Mark, State, require_folder, write_grades
from gptcourse.grading.submissions import Submission, find_submissions, plain, read_submission
from gptcourse.grading.watched import START, Ended, Limits, Watched
from gptcourse.notebooks.exercise_cells import checked, parsed, plain_python
from gptcourse.notebooks.notebook_files import (
    Cell,
    Notebook,
    code_cells,
    find_notebooks,
    has_tag,
    read_notebook,
)

CATALOGUE = "gptcourse.exercises.catalogue"
LONGEST = 2_000  # characters of a message
IMPORT = (ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Sheet:
    """What grading takes from the instructor's copy of one notebook."""

    notebook: str
    imports: list[str]  # the cells under the set-up: "what this notebook uses"
    definitions: list[str]  # what the notebook quotes from the package above its exercises
    exercises: list[str]


def grade(
    folder: Path,
    wanted: list[str],
    out: Path | None = None,
    limits: Limits | None = None,
    notebooks: Path | None = None,
    catalogue: str = CATALOGUE,
    say: Callable[[str], None] = print,
) -> list[Mark]:
    """Grade what learners handed in, and write grades.csv and grades.html.

    Args:
        folder: one sub-folder a learner, with notebooks named as in the course.
        wanted: which notebooks, as numbers or names; none means all.
        out: where the results go, replacing older ones; left out: beside ``folder``.
        limits: of each exercise.
        notebooks: the folder of the instructor's copies.
        catalogue: the module whose EXERCISES judge.
        say: takes a line on each submission.

    Raises:
        CourseError: there is nothing to grade, the instructor's copy does not run, or the results
            have no place.
    """
    folder, limits = folder.resolve(), limits or Limits()
    out = (out or folder.with_name(f"{folder.name}-grades")).resolve()
    if out.is_relative_to(folder):
        raise CourseError(f"{plain(out)} lies among the submissions: give another --out")
    require_folder(out)  # before the work, which may take an hour
    copies = find_notebooks(wanted, notebooks)
    handed = find_submissions(folder, [path.stem for path in find_notebooks([], notebooks)])
    sheets = [sheet_of(path.stem, read_notebook(path)) for path in copies]
    sheets = [sheet for sheet in sheets if sheet.exercises]
    if not sheets:
        names = ", ".join(path.stem for path in copies)
        raise CourseError(f"{names}: no exercises to grade there; name other notebooks, or none")
    marks: list[Mark] = []
    with Grader(limits, catalogue) as grader:
        for learner in handed.learners:
            for sheet in sheets:
                path = handed.notebooks.get((learner, sheet.notebook))
                started = time.monotonic()
                submission = read_submission(learner, sheet.notebook, path, sheet.exercises)
                found = grader.grade(submission, sheet)
                marks += found
                if path is not None:
                    passed = sum(mark.passed for mark in found)
                    seconds = time.monotonic() - started
                    say(
                        f"{plain(learner, 40)}  {sheet.notebook}  "
                        f"{passed} of {len(found)} passed  {seconds:.1f} s"
                    )
    strangers = [str(path.relative_to(folder)) for path in handed.not_recognised]
    for name in strangers:
        say(f"not recognised: {plain(name)}")
    if strangers:
        say(WAY_OUT)
    say(plain(write_grades(out, marks, strangers)))
    return marks


def sheet_of(name: str, notebook: Notebook) -> Sheet:
    """Take from a notebook of the course what grading needs."""
    cells = code_cells(notebook)
    solutions = [index for index, cell in enumerate(cells) if has_tag(cell, "solution")]
    above = [
        cell for cell in cells[: solutions[0] if solutions else 0] if not has_tag(cell, "setup")
    ]
    imports = [plain_python(cell.source) for cell in takewhile(_imports, above)]
    definitions = [plain_python(cell.source) for cell in above if has_tag(cell, "in-step")]
    names = [checked(cells[index].source) for index in solutions]
    return Sheet(name, imports, definitions, [each for each in names if each])


def _imports(cell: Cell) -> bool:
    """Whether a cell stands for "what this notebook uses"; a long list may fill two cells."""
    tree = parsed(plain_python(cell.source))
    return tree is not None and any(isinstance(each, IMPORT) for each in tree.body)


class Grader:
    """Keeps one process at work and one that gets ready; a context manager."""

    def __init__(self, limits: Limits, catalogue: str) -> None:
        """Start the first process."""
        self.limits, self.catalogue = limits, catalogue
        self.spare = Watched(catalogue)

    def __enter__(self) -> "Grader":
        """Return the grader."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process that waits."""
        self.spare.close()

    def grade(self, submission: Submission, sheet: Sheet) -> list[Mark]:
        """Return a mark for each exercise of the notebook."""
        marks: list[Mark] = []
        process: Watched | None = None
        try:
            for name in sheet.exercises:
                source = submission.cells.get(name)
                if source is None:
                    marks.append(_without_cell(submission, name))
                    continue
                process = process or self._ready(sheet)
                try:
                    question = {"exercise": name, "source": source, "others": submission.others}
                    answer = process.ask(question, self.limits)
                except Ended as problem:
                    answer = {"message": f"the cell, or its function, {problem}", "unfit": True}
                marks.append(_judged(submission, name, answer))
                if answer.get("unfit") is not False:
                    process.close()
                    process = None
        finally:
            if process is not None:
                process.close()
        return marks

    def _ready(self, sheet: Sheet) -> Watched:
        """Return a process that ran the notebook's imports; the next one gets ready meanwhile."""
        process, self.spare = self.spare, Watched(self.catalogue)
        try:
            question = {"imports": sheet.imports, "definitions": sheet.definitions}
            problem = process.ask(question, replace(self.limits, seconds=START))["problem"]
            if problem:
                raise Ended(f"says {problem}")
        except Ended as ended:
            process.close()
            message = f"{sheet.notebook}: its imports do not run here: the process {ended}"
            raise CourseError(message) from None
        except BaseException:
            process.close()
            raise
        return process


def _without_cell(submission: Submission, exercise: str) -> Mark:
    """The mark where there is nothing to run."""
    if submission.problem:
        return _mark(submission, exercise, State.FAILED, submission.problem)
    message = f"no cell of the notebook defines my_{exercise}" if submission.handed_in else ""
    return _mark(submission, exercise, State.NOT_HANDED_IN, message)


def _judged(submission: Submission, exercise: str, answer: dict[str, Any]) -> Mark:
    """The mark that an answer of the process gives."""
    if answer.get("passed") is True:
        state = State.PASSED
    else:
        state = State.NOT_DONE if answer.get("done") is False else State.FAILED
    return _mark(submission, exercise, state, str(answer.get("message", ""))[:LONGEST])


def _mark(submission: Submission, exercise: str, state: State, message: str) -> Mark:
    return Mark(submission.learner, submission.notebook, exercise, state, message or state.value)
