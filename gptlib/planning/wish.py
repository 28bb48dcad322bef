"""What is asked of a run before it is planned."""

import reprlib
from dataclasses import dataclass

from gptlib.config import require

MOST = 1e15  # of anything: no run needs more, and the arithmetic of a plan still holds it


@dataclass(frozen=True)
class Wish:
    """What is asked of a run; None leaves it to the plan.

    Raises:
        ConfigError: a number is not above 0, not finite or absurd, or two say how long.
    """

    steps: int | None = None
    tokens: float | None = None  # in the whole run
    tokens_per_step: int | None = None
    batch_size: int | None = None
    processes: int = 1
    max_minutes: float | None = None  # of one session
    memory_gb: float | None = None  # GiB of one device, in place of the machine's

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            require(
                value is None or 0 < value <= MOST,  # nan fails it, too
                f"--{name.replace('_', '-')} is {reprlib.repr(value)}: "
                f"it must be above 0 and at most {MOST:g}; or leave it out",
            )
        require(
            self.steps is None or self.tokens is None,
            "--steps and --tokens both say how long: give one",
        )
