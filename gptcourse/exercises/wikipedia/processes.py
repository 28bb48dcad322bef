"""Random numbers as another process would find them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def as_in_process(number: int) -> Iterator[None]:
    """Inside, everybody's random numbers begin afresh; afterwards they are where they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            random.seed(number)
            np.random.seed(number)
            torch.manual_seed(number)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def drawn() -> list[float]:
    """The next random numbers of Python, numpy and torch."""
    return [random.random(), np.random.random(), torch.rand(()).item()]


@contextmanager
def salted_for(function: Any, number: int) -> Iterator[None]:
    """Inside, ``hash`` of a text is another number in each process, as a function's code sees it.

    Only the name is covered, where the function was written, and only if nobody has used it there.
    """

    def salted(value: Any) -> int:
        return hash(value) if unsalted(value) else hash((number, value))

    names = getattr(function, "__globals__", {})
    free = "hash" not in names
    try:
        if free:
            names["hash"] = salted
        yield
    finally:
        if free:
            names.pop("hash", None)


def unsalted(value: Any) -> bool:
    """Whether Python gives this the same hash in every process."""
    if isinstance(value, tuple):
        return all(unsalted(each) for each in value)
    return isinstance(value, int | float)
