"""Run the notebooks: a bar while they run, executed copies as pages, and a table at the end."""

import copy
import html
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ipykernel.kernelspec
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter
from tqdm import tqdm

import gptlib.environment
from gptcourse import REAL, STORED, paths
from gptcourse.errors import CourseError
from gptcourse.notebooks.cells import (
    Notebook,
    code_cells,
    describe_figures,
    find_notebooks,
    normalized,
    read_notebook,
    write_notebook,
)
from gptcourse.pages import page, table
from gptlib.files import atomic_write

PAGE = Path(__file__).parent / "page"  # nbconvert's template, with text alternatives of pictures
# nbconvert puts each drawing into an <img>, which would stand out beyond a narrow window.
NARROW = "<style>img { max-width: 100%; height: auto }</style>"


class Result(NamedTuple):
    """How one notebook went."""

    name: str
    cells: int
    seconds: float
    problem: str = ""  # empty when every cell ran


def run_course(
    wanted: list[str],
    real: bool = False,
    notebooks: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Result]:
    """Run the ``wanted`` notebooks, or all; keep copies in ``runs/course/`` and say how it went.

    Without ``real`` they run as the tests run them: bundled texts, small models, CPU. With it:
    the real texts, at the size that fits this machine. A notebook that fails does not stop the
    others; the caller reads ``problem``. Ctrl-C stops the kernel, tells what ran, and passes on.
    """
    runs = gptlib.environment.runs_folder().resolve()
    chosen, folder = find_notebooks(wanted, notebooks), runs / "course"
    environment = {**(REAL if real else STORED), "GPTLIB_RUNS": str(runs)}
    results: list[Result] = []
    try:
        for number, path in enumerate(chosen, 1):
            label = f"{number}/{len(chosen)} {path.stem}"
            results.append(run_one(path, folder, environment, label))
    except KeyboardInterrupt:
        say(f"stopped in {path.stem}")
        raise
    finally:
        write_index(folder, results)
        say(summary(results))
        say(f"executed copies: {folder / 'index.html'}")
    return results


def run_one(path: Path, folder: Path, environment: dict[str, str], label: str) -> Result:
    """Run a notebook under a bar, and write its pages."""
    started, problem = time.monotonic(), ""
    try:
        notebook = read_notebook(path)
    except CourseError as unreadable:
        return Result(path.stem, 0, 0.0, str(unreadable))
    cells = len(code_cells(notebook))
    with bar(label, cells) as show:
        try:
            execute(notebook, path.parent, environment, show)
        except CourseError as failure:
            problem = str(failure)
    write_pages(notebook, path.stem, folder)
    return Result(path.stem, cells, time.monotonic() - started, problem)


@contextmanager
def bar(label: str, cells: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of cells whose clock goes on in a long cell; quiet where nobody watches."""
    form = "{desc} {bar:20} cell {n_fmt} of {total_fmt}, {elapsed}"
    disable = gptlib.environment.quiet() or None  # None: where there is no terminal (CI, a file)
    over = threading.Event()
    with tqdm(total=cells, desc=label, bar_format=form, disable=disable) as shown:

        def tick() -> None:
            while not over.wait(1.0):
                shown.refresh()

        clock = threading.Thread(target=tick, daemon=True)
        clock.start()
        try:
            yield lambda number: shown.update(number - shown.n)
        finally:
            over.set()
            clock.join()


def summary(results: list[Result]) -> str:
    """Return the results as a table of text; a failure's reason stands below it."""
    width = max([len("notebook"), *(len(result.name) for result in results)])
    lines = [f"{'notebook':<{width}}  cells  seconds  result"]
    for name, cells, seconds, problem in results:
        verdict = "FAILED" if problem else "passed"
        lines.append(f"{name:<{width}}  {cells:>5}  {seconds:>7.1f}  {verdict}")
    lines += [f"{result.name}, {result.problem}" for result in results if result.problem]
    return "\n".join(lines)


class ThisPython(KernelSpecManager):
    """Starts kernels with this interpreter, whatever kernels are installed for the user."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Keep the variables that are added to this process's own."""
        super().__init__()
        self.environment = environment

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the kernel of this interpreter, with the environment it is to run in."""
        described: dict[str, Any] = ipykernel.kernelspec.get_kernel_dict()
        # What it logs about its connection, and when it is stopped, is no concern of a learner.
        described["argv"] = [*described["argv"], "--IPKernelApp.log_level=CRITICAL"]
        # A notebook may lie anywhere: its kernel finds both packages by this.
        described["env"] = {"PYTHONPATH": str(paths.REPOSITORY), **self.environment}
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **described)


def execute(
    notebook: Notebook,
    folder: Path,
    environment: dict[str, str],
    show: Callable[[int], Any] = lambda number: None,
    timeout: int | None = None,
) -> None:
    """Execute ``notebook`` in place, in a kernel of this very Python that works in ``folder``.

    ``environment`` is added to this process's own; ``show`` is told the number of each cell, from
    1, as it begins. Raises CourseError that names the cell and the error; the outputs up to there
    stay in the notebook. Ctrl-C stops the kernel and passes on.
    """
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython(environment))
    client = NotebookClient(notebook, km=manager, timeout=timeout, coalesce_streams=True)
    client.record_timing = False
    cells = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for _, cell in cells:
        cell.outputs, cell.execution_count = [], None
    with client.setup_kernel(cwd=str(folder), cleanup_kc=True):
        for number, (index, cell) in enumerate(cells, 1):
            show(number)
            try:
                client.execute_cell(cell, index)
            except CellExecutionError as problem:
                raise CourseError(f"cell {number}: {problem.ename}: {problem.evalue}") from None
            except (DeadKernelError, TimeoutError) as problem:
                raise CourseError(f"cell {number}: {problem}") from None


def store_outputs(path: Path) -> None:
    """Execute the notebook at ``path`` as the tests do, and store what it prints.

    Training runs go to a folder that is thrown away. The file is written only when every cell
    ran: a CourseError leaves it as it was.
    """
    notebook = read_notebook(path)
    with tempfile.TemporaryDirectory() as runs:
        execute(notebook, path.parent, {**STORED, "GPTLIB_RUNS": runs})
    write_notebook(path, normalized(notebook))


def write_pages(notebook: Notebook, name: str, folder: Path) -> None:
    """Write the executed ``notebook`` into ``folder``, as a notebook and as a page.

    The page holds the pictures of ``assets/``; the copy finds them from where it lies.
    """
    root = paths.ASSETS.parent  # nbconvert takes in no picture from outside this folder
    describe_figures(notebook)
    exporter = HTMLExporter(embed_images=True, template_name=str(PAGE))
    page, _ = exporter.from_notebook_node(
        with_pictures_at(notebook, paths.ASSETS.name),
        resources={"metadata": {"path": str(root), "name": name}},
    )
    with atomic_write(folder / f"{name}.html") as file:
        file.write(page.replace("</head>", NARROW + "</head>", 1).encode("utf-8"))
    assets = Path(os.path.relpath(paths.ASSETS, folder)).as_posix()
    write_notebook(folder / f"{name}.ipynb", with_pictures_at(notebook, assets))


def with_pictures_at(notebook: Notebook, assets: str) -> Notebook:
    """A copy whose texts find the pictures in another folder than ``../assets``."""
    moved = copy.deepcopy(notebook)
    for cell in moved.cells:
        if cell.cell_type == "markdown":
            cell.source = cell.source.replace("../assets/", f"{assets}/")
    return moved


def write_index(folder: Path, results: list[Result]) -> None:
    """Write ``index.html``: one row a notebook, with its result and a link to its page."""
    rows = []
    for name, cells, seconds, problem in results:
        link = f'<a href="{name}.html">{name}</a>' if (folder / f"{name}.html").is_file() else name
        failed = f'<span class="failed">failed</span>: {html.escape(problem)}'
        rows.append([link, cells, f"{seconds:.1f}", failed if problem else "passed"])
    index = page("The course, run", table(("notebook", "cells", "seconds", "result"), rows))
    with atomic_write(folder / "index.html", "w") as file:
        file.write(index)
