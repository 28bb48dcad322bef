"""Execute notebooks in place, so that their stored outputs are the same on every machine."""

import tempfile
from pathlib import Path

from gptcourse import STORED
from gptcourse.notebooks.execution import OnCell, execute
from gptcourse.notebooks.notebook_files import normalized, read_notebook, write_notebook


def store_outputs(path: Path, on_cell: OnCell = lambda number, seconds: None) -> float:
    """Execute the notebook at ``path`` as the tests do and store what it prints; return seconds.

    Training runs go to a folder that is thrown away. The file is written only when every cell
    ran: a CourseError leaves it as it was.
    """
    notebook = read_notebook(path)
    with tempfile.TemporaryDirectory() as runs:
        environment = {**STORED, "GPTLIB_RUNS": runs}
        seconds = execute(notebook, path.parent, environment, on_cell)
    write_notebook(path, normalized(notebook))
    return seconds
