"""The order in which windows are seen: a pure function of a seed and one position.

Nothing here remembers anything, so a run resumes anywhere from one number and the order does
not depend on the number of processes. Source of the generator: Salmon et al. 2011 (Philox).
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from gptlib.data.windows import Rows
from gptlib.errors import ConfigError


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """The order of `n` windows in one epoch: each once, and a new order every epoch.

    Args:
        n: how many windows there are.
        seed: the run's.
        epoch: 0, 1, 2 …; seed and epoch are the two halves of one key, so that no other pair
            gives the same order on purpose (their sum would).

    Returns:
        (n,) a permutation of 0 … n − 1.
    """
    return np.random.Generator(np.random.Philox(key=(seed, epoch))).permutation(n)


class Batches:
    """Windows in batches, epoch after epoch without end.

    Args:
        x, y: (n, T) inputs and targets.
        batch_size: B, windows in a batch; a batch may end one epoch and begin the next.
        seed: of the order.

    Raises:
        ConfigError: x and y do not match, or the batch size is below 1.
    """

    def __init__(self, x: Rows, y: Rows, batch_size: int, seed: int) -> None:
        if x.shape != y.shape or len(x) == 0 or batch_size < 1:
            raise ConfigError(
                f"x {tuple(x.shape)}, y {tuple(y.shape)} and batch_size {batch_size}: "
                f"give windows of one shape, at least one, and a batch of at least 1"
            )
        self.x, self.y = x, y
        self.batch_size, self.seed = batch_size, seed
        self.order = lru_cache(maxsize=2)(lambda epoch: epoch_order(len(x), seed, epoch))

    def at(self, position: int) -> tuple[Tensor, Tensor]:
        """The batch (B, T), (B, T) that begins after `position` windows have been seen."""
        n = len(self.x)
        rows = [
            self.order(place // n)[place % n]
            for place in range(position, position + self.batch_size)
        ]
        picked = torch.as_tensor(np.array(rows))  # (B,)
        return self.x[picked], self.y[picked]  # (B, T) each
