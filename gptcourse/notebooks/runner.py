"""Run the notebooks in order: a bar while they run, executed copies, and a table at the end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from gptcourse import REAL, STORED
from gptcourse.errors import CourseError
from gptcourse.notebooks.execution import execute
from gptcourse.notebooks.notebook_files import code_cells, find_notebooks, read_notebook
from gptcourse.notebooks.pages import write_index, write_pages
from gptlib import paths


@dataclass(frozen=True)
class Result:
    """How one notebook went."""

    name: str
    cells: int
    seconds: float
    problem: str = ""  # empty when every cell ran

    @property
    def passed(self) -> bool:
        """Whether every cell ran."""
        return not self.problem


def run_course(
    wanted: list[str],
    real: bool = False,
    notebooks: Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Result]:
    """Run the ``wanted`` notebooks, or all; keep copies in ``runs/course/`` and say how it went.

    Without ``real`` they run as the tests run them: bundled texts, small models, CPU. With it:
    the real texts, at the size that fits this machine. A notebook that fails does not stop the
    others; the caller reads ``passed``. Ctrl-C stops the kernel, tells what ran, and passes on.
    """
    runs = paths.runs_folder().resolve()
    folder = runs / "course"
    chosen = find_notebooks(wanted, notebooks)
    environment = {**(REAL if real else STORED), "GPTLIB_RUNS": str(runs)}
    results: list[Result] = []
    try:
        for number, path in enumerate(chosen, 1):
            label = f"{number}/{len(chosen)} {path.stem}"
            results.append(_run_one(path, folder, environment, label))
    except KeyboardInterrupt:
        say(f"stopped in {path.stem}")
        raise
    finally:
        write_index(folder, [(r.name, r.cells, r.seconds, r.problem) for r in results])
        say(table(results))
        say(f"executed copies: {folder / 'index.html'}")
    return results


def table(results: list[Result]) -> str:
    """Return the results as a table of text; a failure's reason stands below it."""
    width = max([len("notebook"), *(len(result.name) for result in results)])
    lines = [f"{'notebook':<{width}}  cells  seconds  result"]
    for result in results:
        lines.append(
            f"{result.name:<{width}}  {result.cells:>5}  {result.seconds:>7.1f}  "
            + ("passed" if result.passed else "FAILED")
        )
    lines += [f"{result.name}, {result.problem}" for result in results if not result.passed]
    return "\n".join(lines)


def _run_one(path: Path, folder: Path, environment: dict[str, str], label: str) -> Result:
    started = time.monotonic()
    try:
        notebook = read_notebook(path)
    except CourseError as unreadable:
        return Result(path.stem, 0, 0.0, str(unreadable))
    cells = len(code_cells(notebook))
    problem = ""
    with _bar(label, cells) as bar:
        try:
            execute(notebook, path.parent, environment, lambda number, _: _show(bar, number))
        except CourseError as failure:
            problem = str(failure)
    write_pages(notebook, path.stem, folder)
    return Result(path.stem, cells, time.monotonic() - started, problem)


@contextmanager
def _bar(label: str, cells: int) -> Iterator["tqdm[None]"]:
    """Show a bar of cells whose clock goes on in a long cell; quiet where nobody watches."""
    form = "{desc} {bar:20} cell {n_fmt} of {total_fmt}, {elapsed}"
    disable = paths.quiet() or None  # None: where there is no terminal (CI, a file)
    over = threading.Event()
    with tqdm(total=cells, desc=label, bar_format=form, disable=disable) as bar:

        def tick() -> None:
            while not over.wait(1.0):
                bar.refresh()

        clock = threading.Thread(target=tick, daemon=True)
        clock.start()
        try:
            yield bar
        finally:
            over.set()
            clock.join()


def _show(bar: "tqdm[None]", number: int) -> None:
    """Move the bar to the cell that runs now."""
    bar.n = number
    bar.refresh()
