"""Tiny checkpoints for the tests."""

import torch

from gptlib.config import GPTConfig, TrainingConfig
from gptlib.model import GPT
from gptlib.training.checkpoint import save_checkpoint
from gptlib.training.optimizer import make_optimizer

TINY = GPTConfig(vocab_size=5, context_length=4, n_layers=1, n_heads=1, width=4, dropout=0.0)
STATE = {"fingerprints": {"tokenizer": None, "data": "0"}}
FILES = ["model.safetensors", "optimizer.safetensors", "state.json"]


def trained(seed=0, config=TINY, frozen=()):
    """A model and its optimizer after one step of AdamW on gradients drawn by chance."""
    model = GPT(config, seed=seed)
    optimizer = make_optimizer(model, TrainingConfig())
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name not in frozen
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = gradient if parameter.requires_grad else None
    optimizer.step()
    return model, optimizer


def save(run, step=1, seed=0, **state):
    """One checkpoint of a model that the seed decides."""
    return save_checkpoint(run, *trained(seed), {**STATE, "step": step, **state})


def same(one, other):
    """Whether two dictionaries of files' tensors are equal, bit for bit."""
    return one.keys() == other.keys() and all(
        one[file].keys() == other[file].keys()
        and all(torch.equal(one[file][name], other[file][name]) for name in one[file])
        for file in one
    )
