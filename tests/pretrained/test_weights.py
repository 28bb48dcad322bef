"""OpenAI's layout, written by transformers with random weights, read into our model."""

import gc
import os
from pathlib import Path

import pytest
import torch
from hf_folders import SMALL, WEIGHTS, assert_same, rewrite, split_in_two
from safetensors.torch import load_file
from transformers_twin import random_ids

from gptlib.config import GPTConfig
from gptlib.inference import prepare_for_inference
from gptlib.pretrained.weights import MODULES, hf_name, load_openai

WTE, C_ATTN = "transformer.wte.weight", "transformer.h.1.attn.c_attn.weight"


def logits(model, ids):
    with torch.no_grad():
        return model(ids)


def cut(name, **changes):
    """A model of the family at its full width, cut to two layers."""
    shape = {"n_layers": 2, "vocab_size": 211, "context_length": 96}
    return GPTConfig.named(name, **{**shape, **changes})


# --- parity ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "std"),
    [
        (cut("gpt2"), 0.3),
        *(
            pytest.param(config, std, marks=pytest.mark.long)
            for config, std in [
                *((cut(f"gpt2-{size}"), 0.3) for size in ("medium", "large", "xl")),
                (GPTConfig.named("gpt2"), 0.1),
            ]
        ),
    ],
)
def test_every_size_equals_transformers(config, std, saved):
    folder, theirs = saved(config, std)
    assert_same(load_openai(folder, torch.float64), theirs)


def test_float32_at_the_scale_of_gpt2_agrees_to_1e_5(saved):
    folder, theirs = saved(cut("gpt2"), 0.02, torch.float32)
    ids = random_ids(cut("gpt2"), 2, 96)
    with torch.no_grad():
        expected = theirs(ids).logits
    torch.testing.assert_close(logits(load_openai(folder), ids), expected, rtol=1e-5, atol=1e-5)


def test_every_parameter_comes_from_the_file_in_the_layout_of_a_linear_layer(saved):
    folder, _ = saved()
    theirs, model = load_file(folder / WEIGHTS), load_openai(folder, torch.float64)
    assert model.config == GPTConfig.from_dict({**SMALL.to_dict(), "dropout": 0.1})
    assert not model.training and len(theirs) == len(list(model.parameters())) == 28
    for name, parameter in model.named_parameters():
        tensor = theirs[f"transformer.{hf_name(name)}"]
        assert parameter.is_contiguous() and parameter.requires_grad
        expected = tensor.T if ".attn.c_" in name or parameter.shape != tensor.shape else tensor
        if "projection" not in name:  # attention's is square: only the logits tell
            assert torch.equal(parameter, expected)
    modules = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    assert {name.format(layer) for name in MODULES for layer in (0, 1)} == modules
    assert hf_name("blocks.11.attention.qkv.bias") == "h.11.attn.c_attn.bias"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_and_a_sum_that_overflows_is_no_infinity(dtype, saved):
    folder, theirs = saved(dtype=dtype)
    model = load_openai(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.token_embedding.weight, theirs.transformer.wte.weight.float())
    large = torch.full_like(theirs.transformer.wte.weight, 6e4)
    rewrite(lambda tensors: tensors.update({WTE: large}))(folder)
    assert torch.equal(load_openai(folder).token_embedding.weight, large.float())


# --- what files may hold besides -------------------------------------------------------------


def renamed(change):
    return rewrite(
        lambda tensors: [tensors.update({change(n): tensors.pop(n)}) for n in [*tensors]]
    )


def with_masks(folder):
    renamed(lambda name: name.removeprefix("transformer."))(folder)  # the hub's own file of gpt2
    masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 96, 96).tril() for layer in range(2)}
    masks |= {f"h.{layer}.attn.masked_bias": torch.tensor(-1e4) for layer in range(2)}
    rewrite(lambda tensors: tensors.update(masks))(folder)


def with_head(folder):
    rewrite(lambda tensors: tensors.update({"lm_head.weight": tensors[WTE].clone()}))(folder)


WRAPPERS = [
    renamed(lambda name, prefix=prefix: prefix + name)
    for prefix in ("module.", "_orig_mod.", "module._orig_mod.")
]
SPELLINGS = [lambda folder: None, with_masks, with_head, split_in_two, *WRAPPERS]


@pytest.mark.parametrize("change", SPELLINGS)
def test_other_spellings_of_the_same_model_load_alike(change, saved):
    folder, theirs = saved()
    change(folder)
    ids = random_ids(SMALL, 1, 9)
    with torch.no_grad():
        expected = theirs(ids).logits
    torch.testing.assert_close(logits(load_openai(folder, torch.float64), ids), expected)


# --- memory ----------------------------------------------------------------------------------

STATUS = Path("/proc/self/status")


def anonymous_memory():
    gc.collect()  # transformers' model, or its end would hide our growth
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells anonymous memory apart")
def test_weights_stand_in_memory_once_and_mapped_ones_not_at_all(saved):
    """The 124M model's embedding and two of its blocks, 213 MB: nothing else is that large."""
    config = cut("gpt2", vocab_size=50_257)
    folder, theirs = saved(config, 0.02, torch.float32)
    ids = random_ids(config, 1, 9)
    with torch.no_grad():
        expected = theirs(ids).logits
    load_openai(folder)  # what libraries allocate once
    before = anonymous_memory()
    model = load_openai(folder)
    assert anonymous_memory() - before < 1.2 * 4 * model.n_parameters()
    before = anonymous_memory()
    mapped = load_openai(folder, mapped=True)
    assert anonymous_memory() - before < 0.1 * 4 * model.n_parameters()
    torch.testing.assert_close(logits(mapped, ids), expected, rtol=1e-4, atol=1e-4)
    for dtype in ("float32", "int8"):
        fast = prepare_for_inference(load_openai(folder, mapped=True), dtype)
        again = prepare_for_inference(load_openai(folder), dtype)
        assert torch.equal(logits(fast, ids), logits(again, ids))


def test_the_model_outlives_its_file(saved):
    folder, _ = saved(dtype=torch.float32)
    model, ids = load_openai(folder), random_ids(SMALL, 1, 9)
    before = logits(model, ids)
    with (folder / WEIGHTS).open("r+b") as file:
        file.seek(-4000, os.SEEK_END)
        file.write(bytes(4000))
    assert torch.equal(logits(model, ids), before)
