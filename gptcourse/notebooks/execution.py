"""Execute a notebook, cell by cell, in a kernel of this very Python."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipykernel.kernelspec
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from gptcourse.errors import CourseError
from gptcourse.notebooks.notebook_files import Notebook

OnCell = Callable[[int, float], None]  # number of the cell that begins (from 1), seconds so far


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
        described["env"] = self.environment
        return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **described)


def execute(
    notebook: Notebook,
    folder: Path,
    environment: dict[str, str],
    on_cell: OnCell = lambda number, seconds: None,
    timeout: int | None = None,
) -> float:
    """Execute ``notebook`` in place with ``folder`` as the working directory; return the seconds.

    ``environment`` is added to this process's own. Raises CourseError that names the cell and the
    error; the outputs up to there stay in the notebook. Ctrl-C stops the kernel and passes on.
    """
    started = time.monotonic()
    specs = ThisPython(environment)
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    client = NotebookClient(notebook, km=manager, timeout=timeout, coalesce_streams=True)
    client.record_timing = False
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    number = 0
    with client.setup_kernel(cwd=str(folder), cleanup_kc=True):
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            number += 1
            on_cell(number, time.monotonic() - started)
            try:
                client.execute_cell(cell, index)
            except CellExecutionError as problem:
                raise CourseError(f"cell {number}: {problem.ename}: {problem.evalue}") from None
            except (DeadKernelError, TimeoutError) as problem:
                raise CourseError(f"cell {number}: {problem}") from None
    return time.monotonic() - started
