"""An exercise in a committed notebook: the task, three folded hints, and the solution cell."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gptcourse.notebooks.exercise_cells import (
    checked,
    defines,
    last_call,
    learners_functions,
    parsed,
    plain_python,
)
from gptcourse.notebooks.notebook_files import Notebook, has_tag

HEADING = re.compile(r"### Exercise (\d+)\.(\d+) · (\S.*)\n\n(★+)(☆*) · (\d+) minutes(?:\n|$)")
TITLE = re.compile(r"# 0*(\d+)\b")
HINTS = 3


@dataclass(frozen=True)
class Section:
    """What a notebook says of one exercise; a field is None where it says nothing readable."""

    cell: int  # the solution's number among all cells
    exercise: str | None  # the name of its check
    number: tuple[int, int] | None
    rating: int | None
    minutes: int | None


def sections(notebook: Notebook) -> list[Section]:
    """Return the notebook's exercises in order: the cells tagged ``solution``, save for swap's."""
    cells, found = notebook.cells, []
    for index, cell in enumerate(cells):
        if not has_tag(cell, "solution") or swaps(cell.source):
            continue
        task = cells[index - 2].source if index >= 2 else ""
        heading = HEADING.match(task)
        known = heading is not None and len(heading[4] + heading[5]) == 3
        found.append(
            Section(
                cell=index + 1,
                exercise=checked(cell.source),
                number=(int(heading[1]), int(heading[2])) if heading and known else None,
                rating=len(heading[4]) if heading and known else None,
                minutes=int(heading[6]) if heading and known else None,
            )
        )
    return found


def swaps(source: str) -> bool:
    """Whether a cell ends with swap: a part of the learner's own, which no check marks."""
    call = last_call(source)
    return call is not None and call.function == "swap"


def exercises_in_form(notebook: Notebook) -> Iterator[str]:
    """Each solution stands behind its task and three hints, and ends with the call of its check.

    Nothing else holds an answer, so that the learner edition takes every one out.
    """
    title = TITLE.match(notebook.cells[0].source)
    found = sections(notebook)
    for place, section in enumerate(found, 1):
        number = f"solution cell {section.cell}"
        hints = notebook.cells[section.cell - 2]
        count = hints.source.count("<details>") if hints.cell_type == "markdown" else 0
        if count != HINTS or hints.source.count("</details>") != count:
            yield f"{number} has {count} folded hints in the cell above, {HINTS} are due"
        due = (int(title[1]) if title else None, place)
        if section.number is None:
            yield f"{number}: no '### Exercise N.M · …' with '★★☆ · 20 minutes' two cells above"
        elif section.number != due:
            said = ".".join(map(str, section.number))
            yield f"{number} is called Exercise {said}, {due[0]}.{due[1]} is due"
    solutions = {section.cell for section in found}
    for index, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown" and cell.source.startswith("### Exercise "):
            if index + 2 not in solutions:
                yield f"cell {index} sets an exercise, but no solution stands two cells below it"
        elif has_tag(cell, "solution"):
            yield from (f"solution cell {index} {words}" for words in _faults(cell.source))
        elif cell.cell_type == "code" and _answers(cell.source):
            yield f"cell {index} holds an answer: tag it solution, or learners are given it"
        if has_tag(cell, "exercise"):
            yield f"cell {index} is tagged exercise: that is the learner edition's"


def _answers(source: str) -> bool:
    """Whether a cell calls a check, or swap, or defines what a learner is to write."""
    tree = parsed(plain_python(source))
    own = any(learners_functions(tree)) if tree else False
    return own or checked(source) is not None or swaps(source)


def _faults(source: str) -> Iterator[str]:
    call = last_call(source)
    if call is None or not (call.function == "swap" or call.function.startswith("check.")):
        yield "does not end with check.name(my_name) or swap(…)"
        return
    if call.function != "swap" and call.learners != (call.function.replace("check.", "my_"),):
        yield f"does not end with {call.function}({call.function.replace('check.', 'my_')})"
    if not call.learners:
        yield "gives nothing of the learner's to its last call"
    for name in call.learners:
        if not defines(source, name):
            yield f"defines no {name}"
