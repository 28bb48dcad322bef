"""Keep the notebooks in step with the package: in-step cells, set-up cell, links."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from gptcourse import paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.notebook_files import (
    Cell,
    Notebook,
    find_notebooks,
    has_tag,
    read_notebook,
    write_notebook,
)
from gptcourse.notebooks.quotes import QUOTES, Quote
from gptcourse.notebooks.quoting import quote
from gptcourse.setup import HOME, Address, setup_cell

LINKS = "Open in [Colab]"  # how the line of links in a notebook's first cell begins


def refresh(
    wanted: list[str],
    check: bool = False,
    folder: Path | None = None,
    address: Address = HOME,
) -> str:
    """Rewrite what notebooks quote from the package; return what differed, as a unified diff.

    With ``check`` nothing is written. Stored outputs stay as they are: execute afterwards.
    """
    differences = []
    for path in find_notebooks(wanted, folder):
        notebook = read_notebook(path)
        difference = refresh_notebook(notebook, path.stem, address=address)
        if difference and not check:
            write_notebook(path, notebook)
        differences.append(difference)
    return "".join(differences)


def refresh_notebook(
    notebook: Notebook,
    name: str,
    root: Path = paths.REPOSITORY,
    quotes: dict[str, list[Quote]] | None = None,
    address: Address = HOME,
) -> str:
    """Rewrite ``notebook``'s cells in place and return the unified diff of what changed."""
    listed = (QUOTES if quotes is None else quotes).get(name, [])
    due = [*_addressed(notebook, name, address), *_quoted(notebook, name, root, listed)]
    differences = []
    for number, cell, text in due:
        if cell.source != text:
            differences.append(_diff(cell.source, text, f"{name}.ipynb, cell {number}"))
            cell.source = text
    return "".join(differences)


def links(name: str, address: Address = HOME) -> list[str]:
    """Return the lines of links under a notebook's title: none while there is no address."""
    if not address.published:
        return []
    where = f"{address.slug}/blob/{address.tag}/notebooks/{name}.ipynb"
    colab = f"https://colab.research.google.com/github/{where}"
    kaggle = f"https://www.kaggle.com/kernels/welcome?src=https://github.com/{where}"
    return ["", f"{LINKS}({colab}) · [Kaggle]({kaggle})"]


Due = tuple[int, Cell, str]  # the cell's number, the cell, the text that it should hold


def _addressed(notebook: Notebook, name: str, address: Address) -> Iterator[Due]:
    """Yield what depends on the course's address: the title cell and the set-up cell."""
    for number, cell in enumerate(notebook.cells, 1):
        if number == 1 and cell.cell_type == "markdown":
            yield number, cell, _with_links(cell.source, links(name, address))
        if has_tag(cell, "setup"):
            yield number, cell, setup_cell(address)


def _quoted(notebook: Notebook, name: str, root: Path, listed: list[Quote]) -> Iterator[Due]:
    """Yield the in-step cells; raises CourseError when they and the list do not agree."""
    cells = [(n, cell) for n, cell in enumerate(notebook.cells, 1) if has_tag(cell, "in-step")]
    if len(cells) != len(listed):
        raise CourseError(
            f"{name} has {len(cells)} in-step cells, but gptcourse/notebooks/quotes.py lists "
            f"{len(listed)} for it: make them agree"
        )
    for (number, cell), (file, names) in zip(cells, listed, strict=True):
        first = cell.source.split("\n", 1)[0]
        if first.rstrip() != f"# {file}":
            raise CourseError(
                f"{name}, cell {number} begins with {first!r}, but gptcourse/notebooks/quotes.py "
                f"says '# {file}' at its place in the order"
            )
        yield number, cell, quote(root, file, names)


def _with_links(source: str, links: list[str]) -> str:
    """Return the title cell's text with the links under its first line, and no older ones."""
    lines = source.split("\n")
    for index in reversed(range(len(lines))):
        if lines[index].startswith(LINKS):
            del lines[index - 1 : index + 1]  # the blank line above it as well
    return "\n".join([lines[0], *links, *lines[1:]])


def _diff(have: str, due: str, where: str) -> str:
    lines = difflib.unified_diff(
        have.splitlines(),
        due.splitlines(),
        f"{where} (notebook)",
        f"{where} (package)",
        lineterm="",
    )
    return "\n".join(lines) + "\n"
