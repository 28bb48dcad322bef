"""Folders as Hugging Face's libraries write them, and ways to change their files."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizer_texts import darija
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerFast,
)
from transformers_twin import random_ids

from gptlib.config import GPTConfig
from gptlib.generation import generate
from gptlib.kv_cache import CachedGPT
from gptlib.model import GPT
from gptlib.pretrained.tokenizer_files import write_tokenizer
from gptlib.tokenizer import BPETokenizer

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
SMALL = GPTConfig(vocab_size=300, context_length=96, n_layers=2, n_heads=2, width=16)
ROWS = darija()
ROLES = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
Change = Callable[[Path], object]


def drawn(std=0.3, dtype=torch.float64, **changes):
    """A model with every parameter drawn at random, biases and LayerNorms included."""
    model = GPT(GPTConfig.from_dict({**SMALL.to_dict(), **changes})).to(dtype).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=std, generator=generator)
            parameter += 1 if "ln_" in name and name.endswith("weight") else 0
    return model


def assert_same(ours, theirs):
    """Logits equal to a relative 1e-8, and the same 64 tokens."""
    ids = random_ids(ours.config, 2, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=1e-8, atol=1e-8)
    settings = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    mask = torch.ones_like(ids[:1])
    expected = theirs.generate(ids[:1], attention_mask=mask, max_new_tokens=64, **settings)
    assert generate(CachedGPT(ours), ids[0].tolist(), 64, temperature=0) == expected.tolist()


def set_fields(name, **values):
    """Set fields of a JSON file, which need not be there; None takes one out."""

    def apply(folder):
        path = folder / name
        content = {**(json.loads(path.read_text()) if path.is_file() else {}), **values}
        path.write_text(json.dumps({k: value for k, value in content.items() if value is not None}))

    return apply


def rewrite(change):
    """Change the tensors of a folder's file."""

    def apply(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        save_file(whole, folder / "model.safetensors")

    return apply


def open_theirs(folder):
    # what AutoTokenizer asks beside the tokenizer's own files: which model this is
    set_fields("config.json", model_type="gpt2")(folder)
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def exported(folder, tokenizer):
    write_tokenizer(folder, tokenizer, context_length=1 << 20)
    return tokenizer, open_theirs(folder)


def foreign(folder):
    """A tokenizer of another's making: </s> ends a text; saved by transformers."""
    tokenizer = BPETokenizer.train(ROWS, 400, [*ROLES.values()], fast=True)
    (folder / "made").mkdir()
    write_tokenizer(folder / "made", tokenizer, 96)
    words = PreTrainedTokenizerFast(tokenizer_file=str(folder / "made" / "tokenizer.json"))
    words.add_special_tokens(ROLES)
    words.save_pretrained(folder)


def assert_same_ids(pair, text):
    ours, theirs = pair
    assert theirs(text).input_ids == ours.encode(text, allow_special=True)
    assert theirs(text, split_special_tokens=True).input_ids == ours.encode(text)


def split_in_two(folder):
    """Two files and their index in place of one; returns the index."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    places = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(tensors)}
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    set_fields(INDEX, weight_map=places)(folder)
    return places
