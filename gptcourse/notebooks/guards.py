"""What a committed notebook must hold to; each guard yields its complaints, one line each."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gptcourse.errors import CourseError
from gptcourse.notebooks.cells import (
    METADATA,
    Notebook,
    checked,
    code_cells,
    defines,
    has_tag,
    last_call,
    learners_functions,
    normalized,
    parsed,
    plain_python,
    read_notebook,
)
from gptcourse.notebooks.in_step import refresh_notebook
from gptcourse.setup import setup_cell

LARGEST = 500_000  # bytes: a notebook opens at once on a slow connection
CELL_LINES, CLASS_LINES = 25, 40  # a screen; a class may be quoted whole
UNCOMPARED = 4  # cells whose output nbval does not compare
PROSE_WORDS = 130  # the aim is 80; a table or a folded answer may run over
HINTS = 3
UNTESTED = ("nbval-skip", "nbval-raises-exception", "raises-exception")
OUR_PATHS = re.compile(r"/(home|root|Users|tmp|var|opt|work|private)/\w")
HEADING = re.compile(
    r"### Exercise (\d+)\.(\d+) · \S.*\n\n(?=[★☆]{3} )(★+)☆* · (\d+) minutes(?:\n|$)"
)
TITLE = re.compile(r"# 0*(\d+)\b")


def complaints(path: Path) -> list[str]:
    """Return what is wrong with the notebook at ``path``; empty when every guard is content."""
    notebook = read_notebook(path)
    found = [line for guard in GUARDS for line in guard(notebook)]
    if path.stat().st_size > LARGEST:
        found.append(f"{path.stat().st_size:,} bytes, {LARGEST:,} allowed: draw smaller figures")
    try:  # in-step cells and links say what the package says
        if difference := refresh_notebook(notebook, path.stem):
            found.append(f"run python -m gptcourse refresh:\n{difference}")
    except CourseError as problem:
        found.append(str(problem))
    return found


def executed(notebook: Notebook) -> Iterator[str]:
    """Every code cell ran, from 1 to n: nbval skips the comparison where the count is null.

    No stored output is an error, and none names a folder of the machine that made it.
    """
    for number, cell in enumerate(code_cells(notebook), 1):
        if not cell.source.strip():
            yield f"code cell {number} is empty: remove it"
        elif cell.execution_count != number:
            yield f"code cell {number} has execution count {cell.execution_count}: run in order"
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"code cell {number} stores an error: {output.ename}: {output.evalue}"
            text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            if OUR_PATHS.search(text):
                yield f"code cell {number} prints a folder of one machine: {text.strip()[:80]}"


def one_set_up_cell(notebook: Notebook) -> Iterator[str]:
    """The first code cell is the set-up cell, letter for letter."""
    tagged = [has_tag(cell, "setup") for cell in code_cells(notebook)]
    if sum(tagged) != 1 or not tagged[0]:
        yield f"{sum(tagged)} cells are tagged setup: exactly the first code cell must be"
    elif code_cells(notebook)[0].source != setup_cell():
        yield "the set-up cell differs from gptcourse/setup.py: gptcourse refresh rewrites it"


def uncompared_cells(notebook: Notebook) -> Iterator[str]:
    """Few outputs go uncompared; each gives its reason, beside an assertion on a bound."""
    cells, count = code_cells(notebook), 0
    for number, cell in enumerate(cells, 1):
        if has_tag(cell, "nbval-ignore-output"):
            count += 1
            if not cell.source.lstrip().startswith("#"):
                yield f"code cell {number} is not compared: say why in a comment on its first line"
            near = "\n".join(plain_python(each.source) for each in cells[number - 1 : number + 1])
            if not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(near))):
                yield f"code cell {number} is not compared: assert a bound there or in the next"
        for tag in UNTESTED:
            if has_tag(cell, tag):
                yield f"code cell {number} is tagged {tag}: it would pass untested"
        if re.search(r"(?i)#\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source):
            yield f"code cell {number} steers nbval by a comment: use a tag, which is counted"
    if count > UNCOMPARED:
        yield f"{count} cells are tagged nbval-ignore-output, {UNCOMPARED} allowed"


def short_cells(notebook: Notebook) -> Iterator[str]:
    """A code cell fits on a screen, a text can be read in one go; imports are not counted."""
    for number, cell in enumerate(notebook.cells, 1):
        code = re.sub(r"(?m)^(from|import) [^(\n]*(\([^)]*\))?\n?", "", cell.source)
        size, kind, allowed = len(code.splitlines()), "lines", CELL_LINES
        if cell.cell_type == "markdown":
            words = re.sub(r"<[^>]*>|[|#*`_\-]", " ", cell.source).split()
            size, kind, allowed = len(words), "words", PROSE_WORDS
        elif has_tag(cell, "in-step") or re.search(r"(?m)^class ", cell.source):
            allowed = CLASS_LINES
        if size > allowed:
            yield f"cell {number} has {size} {kind}, {allowed} allowed: split it"


def plain_form(notebook: Notebook) -> Iterator[str]:
    """No widget state, no times, no attachments: the form that refresh writes.

    What Jupyter writes into a notebook that was only opened is no fault.
    """
    if "widgets" in notebook.metadata:
        yield "stores widget state: no widget is needed to follow the course"
    if normalized(notebook) != {**notebook, "metadata": {**notebook.metadata, **METADATA}}:
        yield "metadata or ids are not in the course's form: gptcourse refresh writes it"
    if any(cell.get("attachments") for cell in notebook.cells):
        yield "stores an attachment: keep pictures in assets/"


def described_figures(notebook: Notebook) -> Iterator[str]:
    """Every figure has its caption, which is its text alternative too."""
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}) and "image/png" not in output.metadata:
                yield f"cell {number} draws a figure: begin the cell below with its *caption.*"


class Section(NamedTuple):
    """What a notebook says of one exercise; None where it says nothing readable."""

    cell: int  # the solution's number among all cells
    exercise: str | None  # the name of its check
    heading: tuple[int, int, int, int] | None  # notebook, place in it, stars, minutes


def sections(notebook: Notebook) -> list[Section]:
    """Return the notebook's exercises in order: the cells tagged ``solution``, save for swap's."""
    found = []
    for index, cell in enumerate(notebook.cells):
        if has_tag(cell, "solution") and last_call(cell.source)[0] != "swap":
            said = HEADING.match(notebook.cells[max(0, index - 2)].source)
            heading = (int(said[1]), int(said[2]), len(said[3]), int(said[4])) if said else None
            found.append(Section(index + 1, checked(cell.source), heading))
    return found


def exercises_in_form(notebook: Notebook) -> Iterator[str]:
    """Each solution stands behind its task and three hints, and ends with the call of its check.

    Nothing else holds an answer, so that the learner edition takes every one out.
    """
    title, found = TITLE.match(notebook.cells[0].source), sections(notebook)
    for place, section in enumerate(found, 1):
        number, hints = f"solution cell {section.cell}", notebook.cells[section.cell - 2]
        count = hints.source.count("<details>") if hints.cell_type == "markdown" else 0
        if count != HINTS or hints.source.count("</details>") != count:
            yield f"{number} has {count} folded hints in the cell above, {HINTS} are due"
        due = f"{title[1] if title else '?'}.{place}"
        if section.heading is None:
            yield f"{number}: no '### Exercise N.M · …' with '★★☆ · 20 minutes' two cells above"
        elif (said := "{}.{}".format(*section.heading)) != due:
            yield f"{number} is called Exercise {said}, {due} is due"
    solutions = {section.cell for section in found}
    for index, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown" and cell.source.startswith("### Exercise "):
            if index + 2 not in solutions:
                yield f"cell {index} sets an exercise, but no solution stands two cells below it"
        elif has_tag(cell, "solution"):
            yield from (f"solution cell {index} {words}" for words in faults(cell.source))
        elif cell.cell_type == "code" and answers(cell.source):
            yield f"cell {index} holds an answer: tag it solution, or learners are given it"
        if has_tag(cell, "exercise"):
            yield f"cell {index} is tagged exercise: that is the learner edition's"


def answers(source: str) -> bool:
    """Whether a cell calls a check, or swap, or defines what a learner is to write."""
    tree = parsed(plain_python(source))
    own = any(learners_functions(tree)) if tree else False
    return own or checked(source) is not None or last_call(source)[0] == "swap"


def faults(source: str) -> Iterator[str]:
    """What is wrong with the last call of a cell tagged ``solution``."""
    call, names = last_call(source)
    own = call.replace("check.", "my_")
    if call != "swap" and not call.startswith("check."):
        yield "does not end with check.name(my_name) or swap(…)"
    elif call != "swap" and names != [own]:
        yield f"does not end with {call}({own})"
    elif not names:
        yield "gives nothing of the learner's to its last call"
    yield from (f"defines no {name}" for name in names if not defines(source, name))


GUARDS = (
    executed,
    one_set_up_cell,
    uncompared_cells,
    short_cells,
    plain_form,
    described_figures,
    exercises_in_form,
)
