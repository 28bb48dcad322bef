"""What each process of ``torchrun`` runs in the tests: a small training with dropout.

``two_processes.py RUN KILL_AT`` trains in the folder RUN, or goes on there. Where KILL_AT is a
step, the second process kills itself in it. ``two_processes.py RUN differ`` prints what is said
where the second process has other settings, text or weights, or no copy of the folder.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' folder

import torch
from small_run import CONFIG, TINY, TOKENIZER, TRAIN, VALIDATION, trainer_of

from gptlib.errors import ConfigError
from gptlib.model import GPT
from gptlib.training import distributed
from gptlib.training.trainer import Trainer


def begin(folder: str, what: str) -> None:
    """Begin a run of which one thing is another than in the first process."""
    config = CONFIG.with_changes(learning_rate=1e-3) if what == "settings" else CONFIG
    text = TRAIN.subset(range(30)) if what == "text" else TRAIN
    model = GPT(TINY, seed=2 if what == "weights" else 1)
    run_folder = f"{folder}-elsewhere" if what == "copy" else folder
    trainer = Trainer(model, text, VALIDATION, config, run_folder, TOKENIZER)
    trainer.run.begin(trainer.run_info, resume=True)


def main() -> None:
    """Train with the other processes, if there are any."""
    folder, task = sys.argv[1:]
    torch.set_num_threads(1)
    distributed.setup()
    if task == "differ":
        for what in ("settings", "text", "weights", "copy"):
            try:
                begin(folder, what if distributed.rank() else "")
            except ConfigError as error:
                print(f"{what}: {error}", file=sys.stderr)
        return distributed.cleanup()
    trainer = trainer_of(folder, CONFIG)
    update = trainer.update

    def dying_update() -> float:
        if trainer.step == int(task) and distributed.rank() == 1:
            Path(f"{folder}-killed").touch()  # tells when
            os.kill(os.getpid(), signal.SIGKILL)
        return update()

    trainer.update = dying_update  # type: ignore[method-assign]
    trainer.train(resume=True)
    distributed.cleanup()


if __name__ == "__main__":
    main()
