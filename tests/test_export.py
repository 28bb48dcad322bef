"""A model as a Hugging Face folder: transformers opens it and computes the same, and back."""

import errno
import hashlib
import json
import os
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from test_openai import FAULTS
from tokenizer_texts import darija
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2LMHeadModel,
)
from transformers_twin import random_ids, twins

from gptlib.config import GPTConfig, padded_size
from gptlib.errors import FolderError, OutOfPairsWarning, PretrainedError
from gptlib.files import sha256_of
from gptlib.generation import generate
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT
from gptlib.pretrained import export
from gptlib.pretrained.config_files import hf_config
from gptlib.pretrained.export import export_model
from gptlib.pretrained.weights import import_model
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, CharacterTokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = GPTConfig(vocab_size=300, context_length=96, n_layers=2, n_heads=2, width=16)
FILES = {"config.json", "generation_config.json", "model.safetensors"}
FILES |= {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"}


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(darija(), 300, [END_OF_TEXT], fast=True)


def drawn(std: float = 0.3, dtype: torch.dtype = torch.float64, **changes: object) -> GPT:
    """A model with every parameter drawn at random, biases and LayerNorms included."""
    model = GPT(GPTConfig.from_dict({**SMALL.to_dict(), **changes})).to(dtype).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=std, generator=generator)
            parameter += 1 if "ln_" in name and name.endswith("weight") else 0
    return model


def opened(folder: Path, dtype: torch.dtype = torch.float64) -> GPT2LMHeadModel:
    """What transformers makes of a folder; every name of the file must find its place."""
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, trust_remote_code=False, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model.eval()


def assert_same_text(ours: GPT, theirs: GPT2LMHeadModel, prompt: list[int]) -> None:
    settings = {"do_sample": False, "eos_token_id": None}
    ids = torch.tensor([prompt])
    mask = torch.ones_like(ids)
    expected = theirs.generate(ids, attention_mask=mask, max_new_tokens=64, **settings)
    assert generate(CachedGPT(ours), prompt, 64, temperature=0) == expected.tolist()


# --- out -------------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [0.3, 0.02])
def test_transformers_computes_the_same_and_writes_the_same(
    std: float, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    ours = drawn(std)
    export_model(tmp_path / "out", ours, tokenizer)
    theirs, ids = opened(tmp_path / "out"), random_ids(SMALL, 2, 96)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-8, atol=1e-8)
    assert_same_text(ours, theirs, ids[0, :32].tolist())


def test_float32_at_the_scale_of_gpt2_agrees_to_1e_5(tmp_path: Path) -> None:
    config = GPTConfig.named("gpt2", n_layers=2, vocab_size=211, context_length=96)
    ours, _ = twins(config, 0.02, torch.float32)
    export_model(tmp_path / "out", ours, None)
    theirs, ids = opened(tmp_path / "out", torch.float32), random_ids(config, 2, 96)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-5, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "cut"),
    [("gpt2", {})] + [(f"gpt2-{size}", {"n_layers": 2}) for size in ("medium", "large", "xl")],
)
def test_every_size_of_gpt2_goes_out_and_comes_back(
    name: str, cut: dict[str, int], tmp_path: Path
) -> None:
    config = GPTConfig.named(name, **cut)
    ours, _ = twins(config, 0.1, torch.float64)  # the 124M model whole, the others at full width
    export_model(tmp_path / "out", ours, None)
    theirs, ids = opened(tmp_path / "out"), random_ids(config, 2, 96)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-8, atol=1e-8)
    assert_same_text(ours, theirs, ids[0, :32].tolist())
    again, _ = import_model(tmp_path / "out", torch.float64)
    assert all(map(torch.equal, again.state_dict().values(), ours.state_dict().values()))


def test_a_folder_holds_what_was_promised_and_nothing_else(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    export_model(tmp_path / "new" / "out", drawn(dtype=torch.float32), tokenizer)
    out = tmp_path / "new" / "out"
    assert {path.name for path in out.iterdir()} == FILES
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1  # nobody is locked out
    with safe_open(out / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert len(list(file.keys())) == 28  # the tied head stands there once
    config = json.loads((out / "config.json").read_text())
    assert "auto_map" not in config  # no code travels
    assert config["vocab_size"] == 300 and config["eos_token_id"] == 299


GPT2_CONFIG = {  # of openai-community/gpt2, without task_specific_params: settings to sample with
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "vocab_size": 50257,
}


def test_the_config_has_every_field_of_gpt2s_own() -> None:
    """Converters to other formats read fields that transformers does not ask for."""
    with torch.device("meta"):
        model = GPT(GPTConfig.named("gpt2"))
    ids = dict.fromkeys(("bos_token_id", "eos_token_id"), 50256)
    written = {**hf_config(model), **ids}
    assert {name: written.get(name, "missing") for name in GPT2_CONFIG} == GPT2_CONFIG


def test_a_classifier_and_a_converter_find_every_token_they_ask_for(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    export_model(tmp_path / "out", drawn(dtype=torch.float32), tokenizer)
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    for token in (words.unk_token, words.bos_token, words.eos_token, words.pad_token):
        assert token == "<|endoftext|>"  # as with GPT-2's own files
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    batch = words(["wesh", "وحد نهار راني رايح"], return_tensors="pt", padding=True)
    assert classifier(**batch).logits.shape == (2, 2)  # refused without a token for padding


def test_dropout_and_epsilon_travel(tmp_path: Path) -> None:
    export_model(tmp_path / "out", drawn(dropout=0.25, layer_norm_epsilon=1e-3), None)
    theirs = opened(tmp_path / "out").config
    assert (theirs.resid_pdrop, theirs.embd_pdrop, theirs.attn_pdrop) == (0.25, 0.25, 0.25)
    assert theirs.layer_norm_epsilon == 1e-3
    assert import_model(tmp_path / "out")[0].config.dropout == 0.25


def test_spare_rows_stay_behind_and_are_never_drawn(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    """Transformers would score every row of the table; so it gets those of tokens only."""
    ours = drawn(vocab_multiple=256)
    with torch.no_grad():
        ours.token_embedding.weight[300:] *= 1000  # spare rows that would win, were they there
    export_model(tmp_path / "out", ours, tokenizer)
    theirs, ids = opened(tmp_path / "out"), random_ids(SMALL, 2, 32)
    assert len(ours.token_embedding.weight) == padded_size(300, 256) == 512
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs.config.vocab_size == theirs.lm_head.weight.shape[0] == len(words) == 300
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-8, atol=1e-8)
    assert_same_text(ours, theirs, ids[0].tolist())
    back, _ = import_model(tmp_path / "out", torch.float64)
    assert torch.equal(back.lm_head_weight, ours.lm_head_weight) and back.config.vocab_multiple == 1


def test_a_model_without_biases_of_qkv_computes_the_same_with_zeros(tmp_path: Path) -> None:
    ours = drawn(qkv_bias=False)
    export_model(tmp_path / "out", ours, None)
    theirs, ids = opened(tmp_path / "out"), random_ids(SMALL, 2, 32)
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, ours(ids), rtol=1e-8, atol=1e-8)


def test_a_batch_of_prompts_of_different_lengths_is_padded_on_the_left(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    """Each text goes on as it does alone: the padding is hidden and shifts no position."""
    ours = drawn()
    export_model(tmp_path / "out", ours, tokenizer)
    theirs, words = opened(tmp_path / "out"), AutoTokenizer.from_pretrained(tmp_path / "out")
    prompts = ["وحد نهار راني رايح", "wesh"]
    batch = words(prompts, return_tensors="pt", padding=True)
    written = theirs.generate(**batch, max_new_tokens=8, do_sample=False, eos_token_id=None)
    for prompt, row in zip(prompts, written, strict=True):
        alone = generate(ours, tokenizer.encode(prompt), 8, temperature=0)[0]
        assert row[-len(alone) :].tolist() == alone


# --- and back --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_export_then_import_is_equal_bit_for_bit(
    dtype: torch.dtype, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    ours = drawn(dtype=dtype)
    export_model(tmp_path / "out", ours, tokenizer)
    back, its_tokenizer = import_model(tmp_path / "out", dtype)
    assert back.config == ours.config and not back.training
    state = back.state_dict()
    assert state.keys() == ours.state_dict().keys()
    for name, tensor in ours.state_dict().items():
        assert state[name].dtype == dtype and torch.equal(state[name], tensor), name
    assert its_tokenizer is not None and its_tokenizer.fingerprint == tokenizer.fingerprint
    export_model(tmp_path / "again", back, its_tokenizer)
    hashes = {path.name: sha256_of(path) for path in (tmp_path / "out").iterdir()}
    assert hashes == {path.name: sha256_of(path) for path in (tmp_path / "again").iterdir()}


def test_the_file_holds_gpt2s_layout(tmp_path: Path) -> None:
    ours = drawn(dtype=torch.float32)
    export_model(tmp_path / "out", ours, None)
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    expand = ours.blocks[1].mlp.expand
    assert torch.equal(tensors["transformer.h.1.mlp.c_fc.weight"], expand.weight.T)
    assert tensors["transformer.h.0.attn.c_attn.weight"].shape == (16, 48)
    assert torch.equal(tensors["transformer.wte.weight"], ours.token_embedding.weight)


def test_what_transformers_saves_comes_in_with_its_tokenizer(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    export_model(tmp_path / "out", drawn(), tokenizer)
    opened(tmp_path / "out").save_pretrained(tmp_path / "theirs")
    AutoTokenizer.from_pretrained(tmp_path / "out").save_pretrained(tmp_path / "theirs")
    assert not (tmp_path / "theirs" / "vocab.json").exists()  # tokenizer.json alone
    back, its_tokenizer = import_model(tmp_path / "theirs", torch.float64)
    assert its_tokenizer is not None and its_tokenizer.fingerprint == tokenizer.fingerprint
    assert all(map(torch.equal, back.parameters(), drawn().parameters()))


def test_rows_beyond_the_tokenizer_come_in_as_spare_rows(
    tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    _, theirs = twins(
        GPTConfig.from_dict({**SMALL.to_dict(), "vocab_size": 320}), 0.3, torch.float64
    )
    theirs.save_pretrained(tmp_path / "theirs")
    export_model(tmp_path / "out", drawn(), tokenizer)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        os.rename(tmp_path / "out" / name, tmp_path / "theirs" / name)
    back, _ = import_model(tmp_path / "theirs", torch.float64)
    assert back.config.vocab_size == 300 and len(back.token_embedding.weight) == 320
    assert torch.equal(back.token_embedding.weight, theirs.transformer.wte.weight)
    GPT(back.config).load_state_dict(back.state_dict())  # its shape says so: it can be saved
    ids = random_ids(SMALL, 1, 16)
    with torch.no_grad():
        expected = theirs(ids).logits[..., :300]
        torch.testing.assert_close(back(ids), expected, rtol=1e-8, atol=1e-8)


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_named_on_import(
    fault: str, tokenizer: BPETokenizer, tmp_path: Path
) -> None:
    export_model(tmp_path / "model", drawn(vocab_size=300), tokenizer)
    plant, message = FAULTS[fault]
    plant(tmp_path / "model")
    with pytest.raises(PretrainedError, match=message) as refusal:
        import_model(tmp_path / "model")
    assert "\n" not in str(refusal.value)


def everything(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.mark.parametrize("name", ["full", "empty", "file", "link", "full/.", "full/.."])
def test_what_stands_there_is_never_touched(name: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to("nowhere")
    before = everything(tmp_path)
    with pytest.raises(FolderError, match="exists: give another folder") as refusal:
        export_model(tmp_path / name, drawn(), None)
    assert "\n" not in str(refusal.value)
    assert everything(tmp_path) == before and (tmp_path / "empty").is_dir()


def test_a_disk_that_fills_up_leaves_nothing(
    tokenizer: BPETokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export, "save_file", full)  # the last and largest of the files
    with pytest.raises(FolderError, match=r"No space left on device.*make room"):
        export_model(tmp_path / "out", drawn(), tokenizer)
    assert everything(tmp_path) == {} and not (tmp_path / "out").exists()


def test_another_tokenizer_than_the_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match="scores 300 tokens but its tokenizer has 2"):
        export_model(tmp_path / "out", drawn(), CharacterTokenizer("ab"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfPairsWarning)
        larger = BPETokenizer.train(darija(), 310, [END_OF_TEXT], fast=True)
    larger.save(tmp_path / "tokenizer")
    export_model(tmp_path / "out", drawn(), None)
    for path in (tmp_path / "tokenizer").iterdir():
        path.rename(tmp_path / "out" / path.name)
    with pytest.raises(PretrainedError, match="has 310 tokens but the model only 300 rows"):
        import_model(tmp_path / "out")


def test_a_folder_without_a_tokenizer_comes_in_without(tmp_path: Path) -> None:
    export_model(tmp_path / "out", drawn(), None)
    assert import_model(tmp_path / "out")[1] is None
    with pytest.raises(PretrainedError, match=r"no folder .*gone: give one"):
        import_model(tmp_path / "gone")
