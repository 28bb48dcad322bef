"""OpenAI's layout, written by transformers with random weights, read into our model."""

import gc
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2LMHeadModel
from transformers_twin import random_ids, twins

from gptlib.config import GPTConfig
from gptlib.errors import PretrainedError
from gptlib.generation import generate
from gptlib.inference import prepare_for_inference
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT
from gptlib.pretrained.weights import MODULES, hf_name, load_openai

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = GPTConfig(vocab_size=61, context_length=96, n_layers=2, n_heads=2, width=16)
Tensors = dict[str, Tensor]


def saved(
    folder: Path, config: GPTConfig = SMALL, std: float = 0.3, dtype: torch.dtype = torch.float64
) -> GPT2LMHeadModel:
    """Write transformers' model into a folder and return it."""
    _, theirs = twins(config, std, dtype)
    theirs.config.architectures = ["GPT2LMHeadModel"]
    theirs.config.bos_token_id = theirs.config.eos_token_id = 0
    theirs.save_pretrained(folder)
    return theirs


def logits(model: GPT, ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model(ids)


def assert_parity(folder: Path, theirs: GPT2LMHeadModel, config: GPTConfig) -> None:
    """Equal logits to a relative 1e-8, and the same 64 tokens."""
    ours = load_openai(folder, dtype=torch.float64)
    ids = random_ids(config, 2, 24)
    with torch.no_grad():
        torch.testing.assert_close(logits(ours, ids), theirs(ids).logits, rtol=1e-8, atol=1e-8)
    settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    mask = torch.ones_like(ids[:1])
    expected = theirs.generate(ids[:1], attention_mask=mask, max_new_tokens=64, **settings)
    assert generate(CachedGPT(ours), ids[0].tolist(), 64, temperature=0) == expected.tolist()


def cut(name: str, **changes: int) -> GPTConfig:
    """A model of the family at its full width, cut to two layers."""
    return GPTConfig.named(
        name, **{"n_layers": 2, "vocab_size": 211, "context_length": 96, **changes}
    )


# --- parity ----------------------------------------------------------------------------------


def test_gpt2_at_full_width_equals_transformers(tmp_path: Path) -> None:
    assert_parity(tmp_path, saved(tmp_path, cut("gpt2")), cut("gpt2"))


@pytest.mark.long
@pytest.mark.parametrize("name", ["gpt2-medium", "gpt2-large", "gpt2-xl"])
def test_the_larger_ones_equal_transformers(name: str, tmp_path: Path) -> None:
    assert_parity(tmp_path, saved(tmp_path, cut(name)), cut(name))


@pytest.mark.long
def test_the_whole_124m_model_equals_transformers(tmp_path: Path) -> None:
    config = GPTConfig.named("gpt2")
    assert_parity(tmp_path, saved(tmp_path, config, std=0.1), config)


def test_float32_at_the_scale_of_gpt2_agrees_to_1e_5(tmp_path: Path) -> None:
    theirs, ids = saved(tmp_path, cut("gpt2"), 0.02, torch.float32), random_ids(cut("gpt2"), 2, 96)
    with torch.no_grad():
        expected = theirs(ids).logits
    torch.testing.assert_close(logits(load_openai(tmp_path), ids), expected, rtol=1e-5, atol=1e-5)


def test_every_parameter_comes_from_the_file_in_the_layout_of_a_linear_layer(
    tmp_path: Path,
) -> None:
    saved(tmp_path)
    theirs = load_file(tmp_path / "model.safetensors")
    model = load_openai(tmp_path, torch.float64)
    assert model.config == GPTConfig.from_dict({**SMALL.to_dict(), "dropout": 0.1})
    assert not model.training
    for name, parameter in model.named_parameters():
        tensor = theirs[f"transformer.{hf_name(name)}"]
        assert parameter.is_contiguous() and parameter.requires_grad
        expected = tensor.T if ".attn.c_" in name or parameter.shape != tensor.shape else tensor
        if "projection" not in name:  # attention's is square: only the logits tell
            assert torch.equal(parameter, expected)
    assert len(theirs) == len(list(model.parameters())) == 28


def test_the_table_names_every_module_with_parameters_and_no_other() -> None:
    with torch.device("meta"):
        model = GPT(SMALL)
    modules = {name.rpartition(".")[0] for name, _ in model.named_parameters()}
    assert {name.format(layer) for name in MODULES for layer in (0, 1)} == modules
    assert hf_name("blocks.11.attention.qkv.bias") == "h.11.attn.c_attn.bias"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype, tmp_path: Path) -> None:
    theirs = saved(tmp_path, dtype=dtype)
    model = load_openai(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.token_embedding.weight, theirs.transformer.wte.weight.float())


# --- what files may hold besides -------------------------------------------------------------


def rewrite(change: Callable[[Tensors], object]) -> Callable[[Path], object]:
    """Change the tensors of a folder's file."""

    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            folder / "model.safetensors",
        )

    return apply


def without_prefix(tensors: Tensors) -> None:
    for name in list(tensors):
        tensors[name.removeprefix("transformer.")] = tensors.pop(name)


def with_masks(tensors: Tensors) -> None:
    without_prefix(tensors)  # the hub's own file of gpt2
    for layer in range(2):
        tensors[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 96, 96).tril()
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)


def with_head(tensors: Tensors) -> None:
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"].clone()


def wrapped(prefix: str) -> Callable[[Tensors], None]:
    def apply(tensors: Tensors) -> None:
        for name in list(tensors):
            tensors[prefix + name] = tensors.pop(name)

    return apply


WRAPPERS = [wrapped(prefix) for prefix in ("module.", "_orig_mod.", "module._orig_mod.")]


@pytest.mark.parametrize("change", [without_prefix, with_masks, with_head, *WRAPPERS])
def test_other_spellings_of_the_same_model_load_alike(
    change: Callable[[Tensors], object], tmp_path: Path
) -> None:
    theirs, ids = saved(tmp_path), random_ids(SMALL, 1, 9)
    rewrite(change)(tmp_path)
    with torch.no_grad():
        expected = theirs(ids).logits
    torch.testing.assert_close(logits(load_openai(tmp_path, torch.float64), ids), expected)


def split_in_two(folder: Path) -> dict[str, str]:
    """Two files and their index in place of one; returns the index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    write_index(folder, places)
    return places


def write_index(folder: Path, places: dict[str, str]) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def test_weights_in_several_files_load_alike(tmp_path: Path) -> None:
    saved(tmp_path)
    whole = load_openai(tmp_path).state_dict()
    split_in_two(tmp_path)
    parts = load_openai(tmp_path).state_dict()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


# --- faults ----------------------------------------------------------------------------------

WTE, C_ATTN = "transformer.wte.weight", "transformer.h.1.attn.c_attn.weight"


def set_tensor(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Path], object]:
    return rewrite(lambda tensors: tensors.__setitem__(name, change(tensors[name])))


def put_nan(tensor: Tensor) -> Tensor:
    tensor[3, 1] = float("nan")
    return tensor


def put_infinity(tensor: Tensor) -> Tensor:
    tensor[-1, -1] = -float("inf")
    return tensor


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def cut_the_head(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50])


def disguise(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps({"a": [1, 2, 3]} | {"b": "x" * 99}))


def disguise_as_pytorch(folder: Path) -> None:
    torch.save({"a": torch.zeros(3)}, folder / "model.safetensors")


def pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def index_outside(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    (folder / "model.safetensors").rename(outside)
    write_index(folder, {WTE: "../outside.safetensors"})


def index_absolute(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_index(folder, {WTE: "/etc/passwd.safetensors"})


def index_of_a_file_that_is_not_there(folder: Path) -> None:
    write_index(folder, {**split_in_two(folder), WTE: "model-7.safetensors"})


def parts_without_an_index(folder: Path) -> None:
    split_in_two(folder)
    (folder / "model.safetensors.index.json").unlink()


def index_without_a_map(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("[]")


def config_says(**values: object) -> Callable[[Path], object]:
    def apply(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return apply


def twice(tensors: Tensors) -> None:
    tensors["wte.weight"] = tensors["transformer.wte.weight"] + 1


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "wrong shape": (
        set_tensor(C_ATTN, lambda tensor: tensor.T),
        r"h\.1\.attn\.c_attn\.weight has shape \(48, 16\), not \(16, 48\)",
    ),
    "missing": (
        rewrite(lambda tensors: tensors.pop(C_ATTN)),
        r"lacks tensor h\.1\.attn\.c_attn\.weight:",
    ),
    "two missing": (
        rewrite(lambda tensors: [tensors.pop(C_ATTN), tensors.pop(WTE)]),
        r"lacks tensor h\.1\.attn\.c_attn\.weight and 1 more",
    ),
    "surplus": (
        rewrite(lambda tensors: tensors.update(extra=torch.zeros(2))),
        "holds the unknown tensor extra:",
    ),
    "a layer too many": (config_says(n_layer=1), r"unknown tensor h\.1\.attn\.c_attn\.bias and 11"),
    "one tensor twice": (rewrite(twice), r"holds transformer\.wte\.weight and wte\.weight, which"),
    "NaN": (set_tensor(C_ATTN, put_nan), rf"model\.safetensors: {C_ATTN} holds NaN or infinity"),
    "infinity": (set_tensor(WTE, put_infinity), f"{WTE} holds NaN or infinity"),
    "untied head": (
        rewrite(lambda tensors: tensors.update({"lm_head.weight": tensors[WTE] + 1})),
        r"lm_head\.weight is not the token embedding",
    ),
    "truncated": (truncate, r"model\.safetensors is no whole safetensors file but cut short"),
    "head cut": (cut_the_head, r"model\.safetensors is no whole safetensors file but cut short"),
    "pickle in disguise": (disguise, r"model\.safetensors is no whole .* but a pickle"),
    "torch file in disguise": (disguise_as_pytorch, r"model\.safetensors is no .* but a pickle"),
    "pickle only": (pickle_only, r"holds pytorch_model\.bin but no model\.safetensors"),
    "nothing": (lambda folder: (folder / "model.safetensors").unlink(), "holds no model.safe"),
    "index outside": (index_outside, r"lists '\.\./outside\.safetensors', which is no"),
    "index absolute": (index_absolute, r"lists '/etc/passwd\.safetensors', which is no"),
    "index ahead": (
        index_of_a_file_that_is_not_there,
        r"lists model-7\.safetensors, which is not there",
    ),
    "no index": (parts_without_an_index, r"holds model-0\.safetensors but neither .*index\.json"),
    "index without a map": (index_without_a_map, "cannot be read as an index"),
    "no config": (lambda folder: (folder / "config.json").unlink(), r"holds no config\.json"),
    "config cut": (
        lambda folder: (folder / "config.json").write_text("{"),
        r"config\.json cannot be read",
    ),
    "config a list": (
        lambda folder: (folder / "config.json").write_text("[]"),
        r"config\.json cannot be read",
    ),
    "another model": (config_says(model_type="llama"), "model_type is 'llama', GPT-2's is 'gpt2'"),
    "exact GELU": (config_says(activation_function="gelu"), "activation_function is 'gelu'"),
    "another MLP": (config_says(n_inner=32), r"n_inner is 32, GPT-2's is 4 \* n_embd, here 64"),
    "heads that do not fit": (config_says(n_head=3), "width 16 does not split into 3"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_by_name(fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved(folder)
    plant, message = FAULTS[fault]
    plant(folder)
    with pytest.raises(PretrainedError, match=message) as refusal:
        load_openai(folder)
    assert "\n" not in str(refusal.value)


def test_dropouts_that_differ_are_said_to_become_one(tmp_path: Path) -> None:
    saved(tmp_path)
    config_says(attn_pdrop=0.2, embd_pdrop=0.3)(tmp_path)
    with pytest.warns(UserWarning, match=r"embd_pdrop 0\.3 and attn_pdrop 0\.2 become 0\.1"):
        assert load_openai(tmp_path).config.dropout == 0.1


def test_what_is_neither_a_name_nor_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match=r"gpt3 is neither a folder nor a name: give one of"):
        load_openai("gpt3")


# --- memory ----------------------------------------------------------------------------------

STATUS = Path("/proc/self/status")


def anonymous_memory() -> int:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells anonymous memory apart")
def test_weights_stand_in_memory_once(tmp_path: Path) -> None:
    """The 124M model's embedding and two of its blocks, 213 MB: nothing else is that large."""
    config = cut("gpt2", vocab_size=50_257)
    saved(tmp_path, config, 0.02, torch.float32)
    load_openai(tmp_path)  # what libraries allocate once
    gc.collect()  # transformers' model, or its end would hide our growth
    before = anonymous_memory()
    model = load_openai(tmp_path)
    assert anonymous_memory() - before < 1.2 * 4 * model.n_parameters()


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells anonymous memory apart")
def test_mapped_weights_take_no_memory_of_their_own_and_write_the_same(tmp_path: Path) -> None:
    theirs = saved(tmp_path, cut("gpt2"), 0.1, torch.float32)
    ids = random_ids(cut("gpt2"), 1, 9)
    with torch.no_grad():
        expected = theirs(ids).logits
    gc.collect()
    before = anonymous_memory()
    model = load_openai(tmp_path, mapped=True)
    assert anonymous_memory() - before < 0.1 * 4 * model.n_parameters()
    torch.testing.assert_close(logits(model, ids), expected, rtol=1e-4, atol=1e-4)
    for dtype in ("float32", "int8"):
        fast = prepare_for_inference(load_openai(tmp_path, mapped=True), dtype)
        again = prepare_for_inference(load_openai(tmp_path), dtype)
        assert torch.equal(logits(fast, ids), logits(again, ids))


def test_a_sum_that_overflows_is_no_infinity(tmp_path: Path) -> None:
    saved(tmp_path, dtype=torch.float16)
    large = torch.full((61, 16), 6e4, dtype=torch.float16)
    set_tensor(WTE, lambda _: large)(tmp_path)
    assert torch.equal(load_openai(tmp_path).token_embedding.weight, large.float())


def test_the_model_outlives_its_file(tmp_path: Path) -> None:
    saved(tmp_path, dtype=torch.float32)
    model, ids = load_openai(tmp_path), random_ids(SMALL, 1, 9)
    before = logits(model, ids)
    path = tmp_path / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(-4000, os.SEEK_END)
        file.write(bytes(4000))
    assert torch.equal(logits(model, ids), before)
