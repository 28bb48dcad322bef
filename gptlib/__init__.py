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


FACE = {
    "setup": "environment",
    **dict.fromkeys(("SIZES", "GPTConfig", "TrainingConfig"), "config"),
    "GPT": "model",
}


def __getattr__(name: str) -> Any:
    """Import ``gptlib.GPT`` and its like on first use: they need torch, which loads for seconds."""
    if name in FACE:
        return getattr(import_module(f"gptlib.{FACE[name]}"), name)
    raise AttributeError(f"module 'gptlib' has no attribute {name!r}")
