"""Small notebooks for the tests of the course's own tools, and what these tests share."""

import time

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from gptcourse.notebooks.cells import normalized
from gptcourse.setup import setup_cell


def code(source, tags=(), output=None, count=None):
    """Return a code cell, perhaps with printed output."""
    outputs = [new_output("stream", name="stdout", text=output)] if output else []
    metadata = {"tags": list(tags)} if tags else {}
    return new_code_cell(source, outputs=outputs, metadata=metadata, execution_count=count)


def notebook(*cells, counted=True, setup=None):
    """Return a notebook as one is committed: a title, the set-up cell, then ``cells``.

    ``setup`` replaces the set-up cell's text: without torch a kernel starts in half the time.
    """
    first = code(setup_cell() if setup is None else setup, ["setup"])
    every = [new_markdown_cell("# 01 Title\n\nText."), first, *cells]
    number = 0
    for cell in every:
        if cell.cell_type == "code" and counted:
            number += 1
            cell.execution_count = number
    return normalized(new_notebook(cells=every))


def write(path, *cells, **settings):
    """Write such a notebook to ``path`` and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*cells, **settings), path)
    return path


SOLUTIONS = {
    "doubled": "    return [2 * number for number in numbers]",
    "total": "    return sum(numbers)",
    "backwards": "    return numbers[::-1]",
}


def solution(name, body=None):
    """Return the source of a cell that solves a planted exercise, or does not."""
    head = f'def my_{name}(numbers: list[int]):\n    """Shapes: (n)."""\n'
    return f"{head}{SOLUTIONS[name] if body is None else body}\n\n\ncheck.{name}(my_{name})"


def planted(**changed):
    """Return the cells of the planted notebook: the imports, then three exercises in form."""
    cells = [code("# what this notebook uses\nimport math\n\nfrom gptcourse import check")]
    for number, name in enumerate(SOLUTIONS, 1):
        heading = f"### Exercise 1.{number} · {name.title()}\n\n★☆☆ · 5 minutes\n\nThe task."
        hint = "<details><summary>Hint</summary>Think.</details>"
        cells += [new_markdown_cell(heading), new_markdown_cell("\n\n".join(3 * [hint]))]
        cells.append(code(changed.get(name, solution(name)), ["solution"]))
    return cells


def everything(folder):
    """Return what every file below a folder holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def until(condition, seconds=30):
    """Wait for a condition, and fail when it does not come."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)
