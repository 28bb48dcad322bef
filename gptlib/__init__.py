"""gptlib: the finished code of a course that builds GPT-2 from bytes to a trained model.

The files stand in the order of the course; each imports only from those before it::

    errors, files, config, environment          the ground
    tokenizer                                   text → token ids          notebook 01
    attention, block, model                     token ids → logits        notebooks 02–04
    generation                                  logits → text             notebook 04
    kv_cache, inference                         the same, faster          notebook 08
    data, training                              text → a trained model    notebooks 05, 09
    planning, plots                             what a run will need, and its curves
    pretrained                                  others' weights, and ours for others   notebook 08
    commands, options, cli                      ``python -m gptlib``
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# PyTorch's threads wait for each other by spinning: with anything else running on a laptop's two
# cores, a small model then trains three times slower. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


# What programs use most: from gptlib import GPT, GPTConfig
FACE = {
    "environment": "setup",
    "config": "SIZES GPTConfig TrainingConfig",
    "model": "GPT",
    "training.trainer": "Trainer",
}


def __getattr__(name: str) -> Any:
    """Import a name of `FACE` on first use: most files need torch, which takes seconds to load."""
    for file, names in FACE.items():
        if name in names.split():
            return getattr(import_module(f"gptlib.{file}"), name)
    raise AttributeError(f"module 'gptlib' has no attribute {name!r}")
