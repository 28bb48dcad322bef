"""Pages of an executed course: each notebook as .ipynb and HTML, and one index."""

import copy
import html
import os
from pathlib import Path

from nbconvert import HTMLExporter

from gptcourse import paths
from gptcourse.notebooks.notebook_files import Notebook, write_notebook
from gptlib.files import atomic_write

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 3rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .4rem .8rem; border-bottom: 1px solid #ccc }
td:nth-child(2), td:nth-child(3) { font-variant-numeric: tabular-nums }
.failed { color: #a40000; font-weight: bold }
"""

# nbconvert puts each drawing into an <img>, which would stand out beyond a narrow window.
NARROW = "<style>img { max-width: 100%; height: auto }</style>"

Row = tuple[str, int, float, str]  # notebook, cells, seconds, problem (empty: passed)


def write_pages(notebook: Notebook, name: str, folder: Path) -> None:
    """Write the executed ``notebook`` into ``folder``, as a notebook and as a page.

    The page holds the pictures of ``assets/``; the copy finds them from where it lies.
    """
    root = paths.ASSETS.parent  # nbconvert takes in no picture from outside this folder
    page, _ = HTMLExporter(embed_images=True).from_notebook_node(
        _with_pictures_at(notebook, paths.ASSETS.name),
        resources={"metadata": {"path": str(root), "name": name}},
    )
    with atomic_write(folder / f"{name}.html") as file:
        file.write(page.replace("</head>", NARROW + "</head>", 1).encode("utf-8"))
    assets = Path(os.path.relpath(paths.ASSETS, folder)).as_posix()
    write_notebook(folder / f"{name}.ipynb", _with_pictures_at(notebook, assets))


def _with_pictures_at(notebook: Notebook, assets: str) -> Notebook:
    moved = copy.deepcopy(notebook)
    for cell in moved.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("../assets/", f"{assets}/")
    return moved


def write_index(folder: Path, rows: list[Row]) -> Path:
    """Write ``index.html``: one row a notebook, with its result and a link to its page."""
    lines = []
    for name, cells, seconds, problem in rows:
        page = f'<a href="{name}.html">{name}</a>' if (folder / f"{name}.html").is_file() else name
        result = f'<span class="failed">failed</span>: {html.escape(problem)}'
        lines.append(
            f"<tr><td>{page}</td><td>{cells}</td><td>{seconds:.1f}</td>"
            f"<td>{result if problem else 'passed'}</td></tr>"
        )
    text = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        "<title>The course, run</title>\n"
        f"<style>{STYLE}</style>\n<h1>The course, run</h1>\n<table>\n"
        "<tr><th>notebook</th><th>cells</th><th>seconds</th><th>result</th></tr>\n"
        + "\n".join(lines)
        + "\n</table>\n</html>\n"
    )
    with atomic_write(folder / "index.html") as file:
        file.write(text.encode("utf-8"))
    return folder / "index.html"
