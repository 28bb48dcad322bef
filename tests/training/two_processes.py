"""What each process of ``torchrun`` runs in the tests: a small training with dropout.

``two_processes.py RUN KILL_AT`` trains in the folder RUN, or goes on there. Where KILL_AT is a
step, the second process kills itself in it.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' folder

import torch
from small_run import CONFIG, trainer_of

from gptlib.training import distributed


def main() -> None:
    """Train with the other processes, if there are any."""
    folder, kill_at = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    distributed.setup()
    trainer = trainer_of(folder, CONFIG)
    update = trainer.update

    def dying_update() -> float:
        if trainer.step == kill_at and distributed.rank() == 1:
            Path(f"{folder}-killed").touch()  # tells when
            os.kill(os.getpid(), signal.SIGKILL)
        return update()

    trainer.update = dying_update  # type: ignore[method-assign]
    trainer.train(resume=True)
    distributed.cleanup()


if __name__ == "__main__":
    main()
