"""A model as a Hugging Face folder: transformers opens it and computes the same, and back."""

import errno
import json
import shutil

import pytest
import torch
from hf_folders import SMALL, assert_same, drawn
from safetensors import safe_open
from safetensors.torch import load_file
from tokenizer_texts import darija
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers_twin import opened, random_ids, twins

from gptlib.config import GPTConfig, padded_size
from gptlib.errors import FolderError, PretrainedError
from gptlib.generation import generate
from gptlib.model import GPT
from gptlib.pretrained import export
from gptlib.pretrained.config_files import hf_config
from gptlib.pretrained.export import export_model
from gptlib.pretrained.weights import import_model
from gptlib.tokenizer import END_OF_TEXT, BPETokenizer, CharacterTokenizer

FILES = {"config.json", "generation_config.json", "model.safetensors"}
FILES |= {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"}
PROMPTS = ["وحد نهار راني رايح", "wesh"]


def test_float32_at_the_scale_of_gpt2_agrees_to_1e_5(tmp_path):
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
def test_every_size_of_gpt2_goes_out_and_comes_back(name, cut, tmp_path):
    ours, _ = twins(GPTConfig.named(name, **cut), 0.1, torch.float64)  # 124M whole, others wide
    export_model(tmp_path / "out", ours, None)
    assert_same(ours, opened(tmp_path / "out"))
    again, _ = import_model(tmp_path / "out", torch.float64)
    assert all(map(torch.equal, again.state_dict().values(), ours.state_dict().values()))


@pytest.mark.parametrize(
    ("std", "changes"),
    [
        (0.3, {}),
        (0.02, {}),
        (0.3, {"qkv_bias": False}),  # theirs has such biases: zeros
        (0.3, {"vocab_multiple": 256}),  # spare rows, which transformers would draw from
        (0.3, {"dropout": 0.25, "layer_norm_epsilon": 1e-3}),
    ],
)
def test_transformers_computes_the_same_and_it_comes_back_bit_for_bit(
    std, changes, tokenizer, tmp_path
):
    ours = drawn(std, **changes)
    with torch.no_grad():
        ours.token_embedding.weight[300:] *= 1000  # spare rows that would win, were they there
    out = tmp_path / "out"
    export_model(out, ours, tokenizer)
    theirs, words = opened(out), AutoTokenizer.from_pretrained(out)
    assert_same(ours, theirs)
    assert theirs.config.vocab_size == theirs.lm_head.weight.shape[0] == len(words) == 300
    assert len(ours.token_embedding.weight) == padded_size(300, ours.config.vocab_multiple)
    said, config = theirs.config, ours.config
    assert {said.resid_pdrop, said.embd_pdrop, said.attn_pdrop} == {config.dropout}
    assert said.layer_norm_epsilon == config.layer_norm_epsilon
    back, its_tokenizer = import_model(out, torch.float64)
    plain = {"vocab_multiple": 1, "qkv_bias": True}
    assert back.config == GPTConfig.from_dict({**config.to_dict(), **plain}) and not back.training
    for name, tensor in ours.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor[:300] if "token_emb" in name else tensor)
    assert its_tokenizer.fingerprint == tokenizer.fingerprint
    export_model(tmp_path / "again", back, its_tokenizer)
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_folder_holds_what_was_promised_in_gpt2s_layout_and_nothing_else(tokenizer, tmp_path):
    out, ours = tmp_path / "new" / "out", drawn(dtype=torch.float32)
    export_model(out, ours, tokenizer)
    assert {path.name for path in out.iterdir()} == FILES
    assert len({path.stat().st_mode for path in out.iterdir()}) == 1  # nobody is locked out
    with safe_open(out / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert len(list(file.keys())) == 28  # the tied head stands there once
    config = json.loads((out / "config.json").read_text())
    assert "auto_map" not in config  # no code travels
    assert config["vocab_size"] == 300 and config["eos_token_id"] == 299
    tensors = load_file(out / "model.safetensors")
    expand = ours.blocks[1].mlp.expand.weight
    assert torch.equal(tensors["transformer.h.1.mlp.c_fc.weight"], expand.T)
    assert tensors["transformer.h.0.attn.c_attn.weight"].shape == (16, 48)
    back, _ = import_model(out)
    assert all(map(torch.equal, back.parameters(), ours.parameters()))


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


def test_the_config_has_every_field_of_gpt2s_own():
    """Converters to other formats read fields that transformers does not ask for."""
    with torch.device("meta"):
        model = GPT(GPTConfig.named("gpt2"))
    written = {**hf_config(model), "bos_token_id": 50256, "eos_token_id": 50256}
    assert {name: written.get(name, "missing") for name in GPT2_CONFIG} == GPT2_CONFIG


def test_batches_and_classifiers_find_every_token_they_ask_for(tokenizer, tmp_path):
    """Each text goes on as it does alone: the padding is hidden and shifts no position."""
    ours = drawn()
    export_model(tmp_path / "out", ours, tokenizer)
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    for token in (words.unk_token, words.bos_token, words.eos_token, words.pad_token):
        assert token == "<|endoftext|>"  # as with GPT-2's own files
    batch = words(PROMPTS, return_tensors="pt", padding=True)
    classifier = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert classifier(**batch).logits.shape == (2, 2)  # refused without a token for padding
    settings = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None}
    written = opened(tmp_path / "out").generate(**batch, **settings)
    for prompt, row in zip(PROMPTS, written, strict=True):
        alone = generate(ours, tokenizer.encode(prompt), 8, temperature=0)[0]
        assert row[-len(alone) :].tolist() == alone


def test_rows_beyond_the_tokenizer_come_in_as_spare_rows(tokenizer, tmp_path):
    _, theirs = twins(
        GPTConfig.from_dict({**SMALL.to_dict(), "vocab_size": 320}), 0.3, torch.float64
    )
    theirs.save_pretrained(tmp_path / "theirs")
    export_model(tmp_path / "out", drawn(), tokenizer)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "out" / name, tmp_path / "theirs" / name)
    back, _ = import_model(tmp_path / "theirs", torch.float64)
    assert back.config.vocab_size == 300 and len(back.token_embedding.weight) == 320
    assert torch.equal(back.token_embedding.weight, theirs.transformer.wte.weight)
    GPT(back.config).load_state_dict(back.state_dict())  # its shape says so: it can be saved
    ids = random_ids(SMALL, 1, 16)
    with torch.no_grad():
        expected = theirs(ids).logits[..., :300]
        torch.testing.assert_close(back(ids), expected, rtol=1e-8, atol=1e-8)


# --- refusals --------------------------------------------------------------------------------


def test_an_export_is_whole_or_absent_and_touches_nothing(tokenizer, tmp_path, monkeypatch):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    with pytest.raises(FolderError, match="exists: give another folder"):
        export_model(tmp_path / "full", drawn(), None)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export, "save_file", full)  # the last and largest of the files
    with pytest.raises(FolderError, match=r"No space left on device.*make room"):
        export_model(tmp_path / "out", drawn(), tokenizer)
    left = [path for path in tmp_path.rglob("*") if path.suffix != ".lock"]
    assert {path.name for path in left} == {"full", "thesis.tex"}


def test_another_tokenizer_than_the_models_is_refused(tmp_path):
    with pytest.raises(PretrainedError, match="scores 300 tokens but its tokenizer has 2"):
        export_model(tmp_path / "out", drawn(), CharacterTokenizer("ab"))
    export_model(tmp_path / "out", drawn(), None)
    assert import_model(tmp_path / "out")[1] is None  # a folder without a tokenizer
    BPETokenizer.train(darija(), 310, [END_OF_TEXT], fast=True).save(tmp_path / "out")
    with pytest.raises(PretrainedError, match="has 310 tokens but the model only 300 rows"):
        import_model(tmp_path / "out")
    with pytest.raises(PretrainedError, match=r"no folder .*gone: give one"):
        import_model(tmp_path / "gone")
