"""Transformers' GPT-2 with the same numbers as ours: an independent model to compare with."""

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from gptlib.model import GPT


def transformers_name(name):
    """The name that transformers gives to one of our parameters."""
    for ours, theirs in {
        "token_embedding": "transformer.wte",
        "position_embedding": "transformer.wpe",
        "blocks.": "transformer.h.",
        "attention.qkv": "attn.c_attn",
        "attention.projection": "attn.c_proj",
        "mlp.expand": "mlp.c_fc",
        "mlp.projection": "mlp.c_proj",
        "ln_final": "transformer.ln_f",
    }.items():
        name = name.replace(ours, theirs)
    return name


def as_theirs(name, tensor):
    """A parameter or gradient of ours in their layout: their Conv1D holds weights transposed."""
    linear = tensor.dim() == 2 and "embedding" not in name
    return tensor.T if linear else tensor


def twins(config, std, dtype):
    """Our model with every parameter drawn at random, and transformers' with the same numbers.

    Both are built without memory, so that the 124M model's numbers are drawn once and shared.
    """
    with torch.device("meta"):
        ours, theirs = GPT(config), GPT2LMHeadModel(transformers_config(config))
    generator = torch.Generator().manual_seed(7)
    parameters = {}
    for name, empty in ours.named_parameters():
        numbers = torch.empty(empty.shape, dtype=dtype).normal_(std=std, generator=generator)
        is_scale = "ln_" in name and name.endswith("weight")
        parameters[name] = numbers + 1 if is_scale else numbers
    ours.load_state_dict(parameters, assign=True)
    renamed = {transformers_name(name): as_theirs(name, p) for name, p in parameters.items()}
    renamed["lm_head.weight"] = renamed["transformer.wte.weight"]
    theirs.load_state_dict(renamed, assign=True)  # strict: each of theirs is one of ours
    theirs.tie_weights()
    return ours.eval(), theirs.eval()


def transformers_config(config):
    return GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.context_length,
        n_embd=config.width,
        n_layer=config.n_layers,
        n_head=config.n_heads,
        layer_norm_epsilon=config.layer_norm_epsilon,
        activation_function="gelu_new",
    )


def random_ids(config, B, T, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, (B, T), generator=generator)  # (B, T)


def opened(folder, dtype=torch.float64):
    """What transformers makes of a folder; every name of its file must find its place."""
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, trust_remote_code=False, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()
