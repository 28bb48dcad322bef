"""Random numbers as another process would find them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def as_in_process(number: int) -> Iterator[None]:
    """Inside, everybody's random numbers begin afresh; afterwards they are where they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)
        yield
    random.setstate(python)
    np.random.set_state(numpy)


def drawn() -> list[float]:
    """The next random numbers of Python, numpy and torch."""
    return [random.random(), np.random.random(), torch.rand(()).item()]
