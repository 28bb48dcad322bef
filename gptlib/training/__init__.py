"""From a model and windows to a trained model: one step, the loop, and what is kept of a run.

What notebooks and programs use is found here by its name, and loaded when it is asked for::

    from gptlib.training import Trainer, evaluate, learning_rate_at
"""

from importlib import import_module
from typing import Any

FILES = {
    "optimizer": "clip_gradients gradient_norm gradient_norm_by_layer learning_rate_at "
    "learning_rate_of make_optimizer moments restore_moments",
    "evaluation": "TextLoss bits_per_byte evaluate evaluate_text",
    "step": "Precision seed_for_position training_step",
    "distributed": "all_reduce_mean no_sync unwrap_model",
    "metrics": "Row best_validation curve read_metrics",
    "checkpoint": "load_checkpoint load_model",
    "flops": "flops_per_token forward_flops peak_flops peak_memory throughput",
    "trainer": "Trainer",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: some files need torch, which takes seconds to load."""
    for file, names in FILES.items():
        if name in names.split():
            return getattr(import_module(f"gptlib.training.{file}"), name)
    raise AttributeError(f"module 'gptlib.training' has no attribute {name!r}")
