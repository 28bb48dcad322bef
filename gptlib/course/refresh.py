"""Keep the notebooks in step with the package: in-step cells, set-up cell, links."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from gptlib import paths
from gptlib.course.notebook_files import (
    Cell,
    Notebook,
    find_notebooks,
    has_tag,
    read_notebook,
    write_notebook,
)
from gptlib.course.quotes import QUOTES, Quote
from gptlib.course.quoting import quote
from gptlib.course.setup_cell import REPOSITORY, TAG, is_published, setup_cell
from gptlib.errors import CourseError

LINKS = "Open in [Colab]"  # how the line of links in a notebook's first cell begins


def refresh(wanted: list[str], check: bool = False, folder: Path | None = None) -> str:
    """Rewrite what notebooks quote from the package; return what differed, as a unified diff.

    With ``check`` nothing is written. Stored outputs stay as they are: execute afterwards.
    """
    differences = []
    for path in find_notebooks(wanted, folder):
        notebook = read_notebook(path)
        difference = refresh_notebook(notebook, path.stem)
        if difference and not check:
            write_notebook(path, notebook)
        differences.append(difference)
    return "".join(differences)


def refresh_notebook(
    notebook: Notebook,
    name: str,
    root: Path = paths.REPOSITORY,
    quotes: dict[str, list[Quote]] = QUOTES,
) -> str:
    """Rewrite ``notebook``'s cells in place and return the unified diff of what changed."""
    differences = []
    for number, cell, text in _due(notebook, name, root, quotes):
        if cell.source != text:
            differences.append(_diff(cell.source, text, f"{name}.ipynb, cell {number}"))
            cell.source = text
    return "".join(differences)


def links(name: str, repository: str = REPOSITORY, tag: str = TAG) -> list[str]:
    """Return the lines of links under a notebook's title: none while there is no address."""
    if not is_published(repository):
        return []
    where = f"{repository.removeprefix('https://')}/blob/{tag}/notebooks/{name}.ipynb"
    colab = f"https://colab.research.google.com/{where.replace('github.com', 'github', 1)}"
    kaggle = f"https://www.kaggle.com/kernels/welcome?src=https://{where}"
    return ["", f"{LINKS}({colab}) · [Kaggle]({kaggle})"]


def _due(
    notebook: Notebook, name: str, root: Path, quotes: dict[str, list[Quote]]
) -> Iterator[tuple[int, Cell, str]]:
    """Yield (number, cell, text it should hold) for each cell that the package decides."""
    for number, cell in enumerate(notebook.cells, 1):
        if number == 1 and cell.cell_type == "markdown":
            yield number, cell, _with_links(cell.source, name)
        if has_tag(cell, "setup"):
            yield number, cell, setup_cell()
    cells = [(n, cell) for n, cell in enumerate(notebook.cells, 1) if has_tag(cell, "in-step")]
    listed = quotes.get(name, [])
    if len(cells) != len(listed):
        raise CourseError(
            f"{name} has {len(cells)} in-step cells, but gptlib/course/quotes.py lists "
            f"{len(listed)} for it: make them agree"
        )
    for (number, cell), (file, names) in zip(cells, listed, strict=True):
        first = cell.source.split("\n", 1)[0]
        if first.rstrip() != f"# {file}":
            raise CourseError(
                f"{name}, cell {number} begins with {first!r}, but gptlib/course/quotes.py "
                f"says '# {file}' at its place in the order"
            )
        yield number, cell, quote(root, file, names)


def _with_links(source: str, name: str) -> str:
    """Return the title cell's text with the links under its first line, and no older ones."""
    lines = source.split("\n")
    for index in reversed(range(len(lines))):
        if lines[index].startswith(LINKS):
            del lines[index - 1 : index + 1]  # the blank line above it as well
    return "\n".join([lines[0], *links(name), *lines[1:]])


def _diff(have: str, due: str, where: str) -> str:
    lines = difflib.unified_diff(
        have.splitlines(),
        due.splitlines(),
        f"{where} (notebook)",
        f"{where} (package)",
        lineterm="",
    )
    return "\n".join(lines) + "\n"
