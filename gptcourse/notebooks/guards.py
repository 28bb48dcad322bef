"""What a committed notebook must hold to; each guard returns its complaints, one line each."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.cells import (
    METADATA,
    Cell,
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
from gptcourse.notebooks.in_step import quotes, refresh_notebook
from gptcourse.setup import setup_cell

LARGEST = 500_000  # bytes: a notebook opens at once on a slow connection
CELL_LINES, CLASS_LINES = 25, 40  # a screen; a class may be quoted whole
UNCOMPARED = 4  # cells whose output nbval does not compare
PROSE_WORDS = 130  # the aim is 80; a table or a folded answer may run over
OUR_PATHS = re.compile(r"/(home|root|Users|tmp|var|opt|work|private)/\w")


def complaints(path: Path) -> list[str]:
    """Return what is wrong with the notebook at ``path``; empty when every guard is content."""
    notebook = read_notebook(path)
    found = [line for guard in GUARDS for line in guard(notebook)]
    if path.stat().st_size > LARGEST:
        found.append(f"{path.stat().st_size:,} bytes, {LARGEST:,} allowed: draw smaller figures")
    found += out_of_step(notebook, path.stem)
    return found


def out_of_step(notebook: Notebook, name: str, root: Path = paths.REPOSITORY) -> list[str]:
    """In-step cells and links say what the package says; ``notebook`` is brought into step."""
    try:
        difference = refresh_notebook(notebook, name, root)
    except CourseError as problem:
        return [str(problem)]
    return [f"run python -m gptcourse refresh:\n{difference}"] if difference else []


def executed_in_order(notebook: Notebook) -> Iterator[str]:
    """Every code cell ran, from 1 to n: nbval skips the comparison where the count is null."""
    for number, cell in enumerate(code_cells(notebook), 1):
        if not cell.source.strip():
            yield f"code cell {number} is empty: remove it"
        elif cell.execution_count != number:
            yield f"code cell {number} has execution count {cell.execution_count}: run in order"


def without_errors(notebook: Notebook) -> Iterator[str]:
    """No stored output is an error, and none names a folder of the machine that made it."""
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"code cell {number} stores an error: {output.ename}: {output.evalue}"
            text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            if OUR_PATHS.search(text):
                yield f"code cell {number} prints a folder of one machine: {text.strip()[:80]}"


def one_set_up_cell(notebook: Notebook) -> Iterator[str]:
    """The first code cell is the set-up cell, letter for letter."""
    tagged = [cell for cell in code_cells(notebook) if has_tag(cell, "setup")]
    if len(tagged) != 1 or code_cells(notebook)[0] is not tagged[0]:
        yield f"{len(tagged)} cells are tagged setup: exactly the first code cell must be"
    elif tagged[0].source != setup_cell():
        yield "the set-up cell differs from gptcourse/setup.py: gptcourse refresh rewrites it"


def uncompared_cells(notebook: Notebook) -> Iterator[str]:
    """Few outputs go uncompared; each gives its reason, beside an assertion on a bound."""
    cells = code_cells(notebook)
    loose = [n for n, cell in enumerate(cells) if has_tag(cell, "nbval-ignore-output")]
    if len(loose) > UNCOMPARED:
        yield f"{len(loose)} cells are tagged nbval-ignore-output, {UNCOMPARED} allowed"
    for index in loose:
        if not cells[index].source.lstrip().startswith("#"):
            yield f"code cell {index + 1} is not compared: say why in a comment on its first line"
        if not any(_asserts(cell) for cell in cells[index : index + 2]):
            yield f"code cell {index + 1} is not compared: assert a bound there or in the next cell"
    for number, cell in enumerate(cells, 1):
        for tag in ("nbval-skip", "nbval-raises-exception", "raises-exception"):
            if has_tag(cell, tag):
                yield f"code cell {number} is tagged {tag}: it would pass untested"
        if re.search(r"(?i)#\s*(NBVAL_|PYTEST_VALIDATE_)", cell.source):
            yield f"code cell {number} steers nbval by a comment: use a tag, which is counted"


def short_cells(notebook: Notebook) -> Iterator[str]:
    """A code cell fits on a screen, a text can be read in one go.

    An import counts as one line, however many it is wrapped over: it is not read line by line.
    """
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            words = len(re.sub(r"<[^>]*>|[|#*`_\-]", " ", cell.source).split())
            if words > PROSE_WORDS:
                yield f"cell {number} has {words} words, {PROSE_WORDS} allowed: split it"
            continue
        lines = len(re.sub(r"(?m)^from .+ import \([^)]*\)", "", cell.source).splitlines())
        whole = has_tag(cell, "in-step") or re.search(r"(?m)^class ", cell.source)
        allowed = CLASS_LINES if whole else CELL_LINES
        if lines > allowed:
            yield f"cell {number} has {lines} lines, {allowed} allowed: split it"


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


def quoted_twice(notebooks: Iterable[Path]) -> list[str]:
    """Return the definitions that more than one cell quotes: each has one place in the course."""
    counts = Counter(
        f"{file}: {name}"
        for path in notebooks
        for file, names in quotes(read_notebook(path), path.stem)
        for name in names
    )
    return sorted(entry for entry, count in counts.items() if count > 1)


def _asserts(cell: Cell) -> bool:
    tree = ast.parse(plain_python(cell.source))
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree))


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


GUARDS: tuple[Callable[[Notebook], Iterator[str]], ...] = (
    executed_in_order,
    without_errors,
    one_set_up_cell,
    uncompared_cells,
    short_cells,
    plain_form,
    described_figures,
    exercises_in_form,
)
