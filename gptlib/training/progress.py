"""What a run says to people while it goes: a bar, and lines in a log."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from loguru import logger
from tqdm import tqdm

from gptlib import paths


def progress_bar(total: int, done: int) -> Any:
    """A bar over steps in a terminal or notebook; silent where output is kept or compared."""
    shown = sys.stderr.isatty() or "ipykernel" in sys.modules
    silent = paths.quiet() or not shown
    return tqdm(total=total, initial=done, desc="training", unit="step", disable=silent)


@contextmanager
def log_to(path: str | Path) -> Iterator[Callable[[str], None]]:
    """Lines with their time in a file and above the bar in the terminal, for `Trainer(report=…)`.

    Args:
        path: the log file; it is appended to.

    Yields:
        A function that takes one line. On leaving, the file is closed.
    """
    with suppress(ValueError):
        logger.remove(0)  # loguru's first sink would say every line a second time
    style = "{time:HH:mm:ss} {message}"
    sinks = [
        logger.add(path, format=style, encoding="utf-8"),
        logger.add(lambda line: tqdm.write(line, sys.stderr, end=""), format=style),
    ]
    try:
        yield logger.info
    finally:
        for sink in sinks:
            logger.remove(sink)
