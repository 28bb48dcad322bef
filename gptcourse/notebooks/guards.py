"""What a committed notebook must hold to; each guard returns its complaints, one line each."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.exercise_cells import plain_python
from gptcourse.notebooks.exercise_sections import exercises_in_form
from gptcourse.notebooks.in_step import quotes, refresh_notebook
from gptcourse.notebooks.notebook_files import (
    METADATA,
    Cell,
    Notebook,
    code_cells,
    has_tag,
    normalized,
    read_notebook,
)
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
    """A code cell fits on a screen, a text can be read in one go."""
    for number, cell in enumerate(notebook.cells, 1):
        if cell.cell_type == "markdown":
            words = len(re.sub(r"<[^>]*>|[|#*`_\-]", " ", cell.source).split())
            if words > PROSE_WORDS:
                yield f"cell {number} has {words} words, {PROSE_WORDS} allowed: split it"
            continue
        lines = len(cell.source.splitlines())
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


def quoted_twice(notebooks: Iterable[Path]) -> list[str]:
    """Return the definitions that more than one cell quotes: each has one place in the course."""
    counts = Counter(
        f"{file}: {name}"
        for path in notebooks
        for file, names in quotes(read_notebook(path), path.stem)
        for name in names
    )
    return sorted(entry for entry, count in counts.items() if count > 1)


GUARDS: tuple[Callable[[Notebook], Iterator[str]], ...] = (
    executed_in_order,
    without_errors,
    one_set_up_cell,
    uncompared_cells,
    short_cells,
    plain_form,
    exercises_in_form,
)


def _asserts(cell: Cell) -> bool:
    tree = ast.parse(plain_python(cell.source))
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree))
